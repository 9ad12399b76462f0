"use strict";
// Puts what the server sends in place of what is shown; what the reader has opened and focused stays so.
(() => {
  const status = () => document.getElementById("live");
  const source = new EventSource("events");
  source.addEventListener("open", () => { status().textContent = "Live"; });
  source.addEventListener("error", () => { status().textContent = "The connection is lost; trying again"; });
  source.addEventListener("content", (event) => {
    const main = document.querySelector("main");
    const unfolded = [...main.querySelectorAll("details")].map((each) => each.open);
    const focused = [...main.querySelectorAll("summary, [tabindex]")].indexOf(document.activeElement);
    main.innerHTML = JSON.parse(event.data);
    main.querySelectorAll("details").forEach((each, place) => { each.open = Boolean(unfolded[place]); });
    if (focused >= 0) {
      const again = main.querySelectorAll("summary, [tabindex]")[focused];
      if (again) again.focus({ preventScroll: true });
    }
    status().textContent = "Live, updated " + new Date().toLocaleTimeString();
  });
})();
