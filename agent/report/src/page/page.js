'use strict';
(() => {
  const scroll = document.querySelector('.scroll');
  if (!scroll) return;
  const inputs = [...document.querySelectorAll('input[name=zoom]')];
  const chart = scroll.querySelector('.chart');
  const start = () => chart.getBoundingClientRect().left - scroll.getBoundingClientRect().left;
  let width = chart.getBoundingClientRect().width;
  let focus = null;
  let before = start();
  const bars = [...chart.querySelectorAll('.bar')].map((bar) => [bar.querySelector('rect'), bar.querySelector('text')]);
  // What a bar says stays in sight as long as the bar does.
  let due = false;
  const say = () => {
    due = false;
    const left = scroll.getBoundingClientRect().left;
    const boxes = bars.map(([rect]) => rect.getBoundingClientRect());
    bars.forEach(([, text], at) => {
      const hidden = Math.min(left - boxes[at].left, boxes[at].width - 30);
      text.setAttribute('x', 5 + Math.max(0, hidden));
    });
  };
  const saySoon = () => {
    if (!due) requestAnimationFrame(say);
    due = true;
  };
  // The place that was in the middle, or under the pointer, stays there when the scale changes.
  const changed = () => {
    const now = chart.getBoundingClientRect().width;
    const x = focus === null ? scroll.clientWidth / 2 : focus;
    const place = (x - before) / width;
    scroll.scrollLeft += start() + place * now - x;
    width = now;
    before = start();
    focus = null;
    saySoon();
  };
  scroll.addEventListener('scroll', () => {
    before = start();
    saySoon();
  }, { passive: true });
  addEventListener('resize', () => {
    width = chart.getBoundingClientRect().width;
    before = start();
    saySoon();
  });
  inputs.forEach((input) => input.addEventListener('change', changed));
  const step = (by, x) => {
    const at = inputs.findIndex((input) => input.checked) + by;
    if (!inputs[at]) return;
    focus = x;
    inputs[at].checked = true;
    changed();
  };
  scroll.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    step(event.deltaY < 0 ? 1 : -1, event.clientX - scroll.getBoundingClientRect().left);
  }, { passive: false });
  scroll.addEventListener('keydown', (event) => {
    if (event.key === '+' || event.key === '=') step(1, null);
    if (event.key === '-') step(-1, null);
  });
  scroll.addEventListener('dblclick', (event) => step(1, event.clientX - scroll.getBoundingClientRect().left));
  say();
})();
