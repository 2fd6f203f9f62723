// What is kept for a reload of the page: in this tab of this browser, and nowhere else.

const KEY = "netcompile-playground";
const LARGEST = 2000000; // characters; browsers keep about five million for a site

/** The text and options as they were last, if the address was the same then. */
export function recall(fragment) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY));
    return kept && kept.fragment === fragment && typeof kept.text === "string" && typeof kept.name === "string" ? kept : null;
  } catch {
    return null;
  }
}

export function keep(fragment, state) {
  try {
    if (state.text.length > LARGEST) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, JSON.stringify({ fragment, ...state }));
  } catch {
    // a browser that keeps nothing for this page: the text is lost with a reload, as it asked
  }
}
