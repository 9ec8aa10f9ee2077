// The page /demo: gives the visitor a name, in open mode, or takes a token; and creates posts where there are none.
(() => {
  'use strict';

  const find = (selector) => document.querySelector(selector);
  const widgets = () => document.querySelectorAll('damper-rating');
  const NAME = 'damper-visitor';
  const POSTS = [
    ['demo-lights', 'Harbour Lights'], ['demo-planes', 'Paper Planes'], ['demo-lantern', 'The Last Lantern'],
  ];

  // A visitor keeps a name, if the browser keeps anything.
  const keep = (name) => { try { localStorage.setItem(NAME, name); } catch { /* For this page only */ } };
  const kept = () => { try { return localStorage.getItem(NAME); } catch { return null; } };
  const make = () => `visitor-${Array.from(crypto.getRandomValues(new Uint8Array(4)), (byte) => byte.toString(16).padStart(2, '0')).join('')}`;

  const become = (name) => {
    keep(name);
    find('#name').textContent = name;
    for (const widget of widgets()) widget.user = name;
  };

  // Creates the posts, and takes the page as it then is.
  const createPosts = async () => {
    for (const [id, title] of POSTS) {
      const body = JSON.stringify({ id, title });
      await fetch('/api/posts', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    }
    const page = new DOMParser().parseFromString(await (await fetch('/demo')).text(), 'text/html');
    find('main').replaceWith(page.querySelector('main'));
    start();
    find('h1').focus();
  };

  const start = () => {
    const [who, create] = [find('.who'), find('#create')];
    if (who) who.hidden = false;
    if (find('.posts[data-open]')) {
      become(kept() ?? make());
      find('#other').addEventListener('click', () => become(make()));
    }
    find('form.who')?.addEventListener('submit', (event) => {
      event.preventDefault();
      for (const widget of widgets()) widget.token = find('#token').value.trim();
    });
    if (create) {
      create.hidden = false;
      create.addEventListener('click', () => { create.disabled = true; createPosts(); });
    }
  };
  start();
})();
