// Requests to the service. All go to the page's own server, and carry the token if it wants one.

import { recall, retain } from "./storage.js";

const TOKEN = "onnxsearch-token";

/** A request that failed; `argument` names the parameter at fault, if the service does. */
export class ApiError extends Error {
  constructor(message, { status = 0, argument = null } = {}) {
    super(message);
    this.status = status;
    this.argument = argument;
  }

  /** Whether the same request may work later. */
  get passing() {
    return [0, 408, 429, 502, 503, 504].includes(this.status);
  }
}

let askForToken = async () => null;
let asking = null;

/** Set the function that asks for the token; it receives whether one was refused before. */
export function onToken(ask) {
  askForToken = ask;
}

const token = () => recall(TOKEN, "sessionStorage");

export const hasToken = () => token() !== null;

/** Fetch from the service; after an answer 401 once more, with the token that the user gives. */
export async function request(path, { signal, ...options } = {}) {
  for (;;) {
    const used = token();
    const headers = used === null ? {} : { Authorization: `Bearer ${used}` };
    const response = await send(path, { ...options, signal, headers });
    if (response.ok) return response;
    if (response.status !== 401) throw await problem(response);
    // Several requests may be refused at once; one question is enough.
    if (token() === used) asking ??= askForToken(used !== null).finally(() => (asking = null));
    const given = asking && (await asking);
    if (given) retain(TOKEN, given, "sessionStorage");
    else if (token() === used) throw await problem(response);
    signal?.throwIfAborted();
  }
}

async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is `onnxsearch serve` still running?");
  }
}

async function problem(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy in between answers with pages of its own.
  }
  const message = body.detail || body.title || `The server answered ${response.status}.`;
  return new ApiError(String(message), {
    status: response.status,
    argument: body.argument ?? null,
  });
}

/** Return the JSON answer to a GET request; parameters without a value are left out. */
export async function get(path, parameters = {}, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.append(name, value);
  }
  const text = query.toString();
  return (await request(text ? `${path}?${text}` : path, { signal })).json();
}

/** Return the JSON answer to a form. */
export async function post(path, form, signal) {
  return (await request(path, { method: "POST", body: form, signal })).json();
}
