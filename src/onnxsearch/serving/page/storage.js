// What a browser keeps for the page. Some browsers are told to keep nothing: then it lasts as long
// as the page.

const memory = new Map();

/** Return a value that was kept; null if there is none. */
export function recall(key, storage) {
  try {
    return window[storage].getItem(key);
  } catch {
    return memory.get(key) ?? null;
  }
}

/** Keep a value: in "localStorage", or in "sessionStorage" until the tab is closed. */
export function retain(key, value, storage) {
  try {
    window[storage].setItem(key, value);
  } catch {
    memory.set(key, value);
  }
}
