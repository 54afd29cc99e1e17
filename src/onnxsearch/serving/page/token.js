// The question for the token, where the service wants one.

import { onToken } from "./api.js";
import { byId } from "./dom.js";

const dialog = byId("token");
const input = byId("token-input");

export function startToken() {
  byId("token-cancel").addEventListener("click", () => dialog.close());
  onToken(
    (refused) =>
      new Promise((resolve) => {
        byId("token-refused").hidden = !refused;
        input.value = "";
        dialog.returnValue = "";
        dialog.addEventListener(
          "close",
          () => resolve(dialog.returnValue === "ok" ? input.value.trim() || null : null),
          { once: true },
        );
        dialog.showModal();
      }),
  );
}
