// Fetches parts of the page anew, soon but not often: usage trails what happens by about a second.

const DELAY = 2000;
const waiting = new Set();
let timer = 0;

export const refresh = (ids) => {
  ids.forEach((id) => waiting.add(id));
  if (timer) return;
  timer = setTimeout(() => {
    timer = 0;
    for (const id of waiting) {
      const part = document.getElementById(id);
      if (part) htmx.trigger(part, 'refresh');
    }
    waiting.clear();
  }, DELAY);
};
