// Answers requests as the page's worker does, under Node: a line of JSON in, {method, params}, a line of JSON out.
//
//   node answers.mjs SITE PYODIDE-FOLDER [MEMORY]

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [site, folder, memory = `${site}/python.memory`] = process.argv.slice(2);
console.info = () => {}; // stdout has answers alone
const { start } = await import(pathToFileURL(`${site}/python.mjs`));
const { ask } = await start(readFile(memory), readFile(`${site}/python.pack`), () => readFile(`${site}/python.whole`), { indexURL: folder });
for await (const line of createInterface({ input: process.stdin })) {
  const { method, params } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(ask(method, params))}\n`);
}
