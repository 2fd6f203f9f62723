// Answers requests as the page's worker does, under Node: a line of JSON in, {method, params}, a line of JSON out.
//
//   node answers.mjs SITE PYODIDE-FOLDER

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [site, folder] = process.argv.slice(2);
const { start } = await import(pathToFileURL(`${site}/python.mjs`));
const { ask } = await start(readFile(`${site}/python.memory`), readFile(`${site}/python.pack`), { indexURL: folder });
for await (const line of createInterface({ input: process.stdin })) {
  const { method, params } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(ask(method, params))}\n`);
}
