// <damper-rating post="heat" src="https://ratings.example">: shows a post's rating and takes the visitor's.
// It writes texts as texts and styles through CSSOM, so it works under a strict Content-Security-Policy. See docs/EMBED.md.
(() => {
  'use strict';

  const HOME = new URL(document.currentScript?.src || location.href).origin;
  const SCORES = [0, 1, 2, 3, 4, 5];
  const STAR = 'M12 2.6l2.9 5.9 6.5.95-4.7 4.6 1.1 6.45L12 17.45 6.2 20.5l1.1-6.45-4.7-4.6 6.5-.95z';
  const SVG = 'http://www.w3.org/2000/svg';
  // Who walks through the scores with the arrows has chosen after this pause.
  const CHOSEN_MS = 600;
  // Attempts at a rating, and the pauses between them: longer each time, and as long as the answer says.
  const ATTEMPTS_MAX = 5, RETRY_SECONDS = 3, RETRY_SECONDS_MAX = 60;
  // A post is read again at its tick, up to an hour ahead; where the visitor's clock says that it has passed, after a minute.
  const READ_AGAIN_MS_MAX = 3_600_000, READ_AGAIN_MS = 60_000;

  // Every text, changed by an attribute `word-…`. Of those with a count there may be one for each plural form of the language,
  // as Intl.PluralRules names them: word-ratings-few.
  const WORDS = {
    label: 'Rating',
    score: '{score} of 5',
    ratings: '{count} ratings',
    'ratings-one': '{count} rating',
    none: 'No ratings yet',
    phasing: '{count} being phased in',
    unrated: 'No rating from you',
    own: 'Your rating: {score}',
    sending: 'Your rating: {score}, being saved',
    pending: 'Your rating: {score}, counts from {time}',
    held: 'Your rating: {score}, held for a moderator',
    'taking-back': 'Your rating is being taken back',
    'taken-back': 'Your rating is taken back, from {time}',
    'take-back': 'Take back',
    frozen: 'No ratings are taken for now',
    'sign-in': 'Sign in to rate',
    limited: 'Too many ratings in a minute. Yours is sent again in a moment.',
    away: 'The ratings do not answer. Trying again in a moment.',
    failed: 'That did not work: {detail}',
    missing: 'There is nothing to rate here.',
    retry: 'Try now',
  };
  const PLURALS = ['zero', 'one', 'two', 'few', 'many'];
  const COUNTED = ['ratings', 'phasing'].flatMap((word) => PLURALS.map((form) => `${word}-${form}`));
  const WORD_NAMES = [...new Set([...Object.keys(WORDS), ...COUNTED])].map((word) => `word-${word}`);

  const STYLE = `
    :host { display: inline-block; vertical-align: top; max-width: 100%; font-size: 1rem; line-height: 1.45;
      --_own: var(--damper-own, #1d5fd6); --_star: var(--damper-star, #b86e00); --_empty: var(--damper-empty, #767f8b);
      --_muted: var(--damper-muted, #59636e); --_error: var(--damper-error, #b3261e); --_size: var(--damper-size, 1.75rem) }
    @supports (color: light-dark(red, red)) {
      :host { --_own: var(--damper-own, light-dark(#1d5fd6, #7fb0ff)); --_star: var(--damper-star, light-dark(#b86e00, #f2b544));
        --_empty: var(--damper-empty, light-dark(#767f8b, #7d8793)); --_muted: var(--damper-muted, light-dark(#59636e, #a3adb8));
        --_error: var(--damper-error, light-dark(#b3261e, #ff9a90)) } }
    :host([hidden]) { display: none }
    @media (pointer: coarse) { :host { --_size: var(--damper-size, 2.25rem) } }
    .line { display: flex; align-items: center; gap: .6em; flex-wrap: wrap }
    .stars { display: inline-flex; align-items: center; color: var(--_star) }
    .stars.own { color: var(--_own) }
    button { font: inherit; color: inherit; background: none; border: 0; margin: 0; padding: 0; cursor: pointer; border-radius: .3em }
    button:focus-visible { outline: 2px solid var(--damper-focus, var(--_own)); outline-offset: 1px }
    .star { position: relative; display: block; width: var(--_size); height: var(--_size); padding: 1px; box-sizing: border-box;
      transition: transform .12s }
    .star svg { position: absolute; inset: 1px; width: calc(100% - 2px); height: calc(100% - 2px) }
    .back { fill: none; stroke: var(--_empty); stroke-width: 1.4; stroke-linejoin: round }
    .front { fill: currentColor; stroke: currentColor; stroke-width: 1.4; stroke-linejoin: round;
      clip-path: inset(0 calc(100% - var(--part, 0%)) 0 0) }
    .rtl .star svg { transform: scaleX(-1) }
    .zero { width: calc(var(--_size) * .8); height: calc(var(--_size) * .8); margin-inline-end: .3em; border-radius: 50%;
      border: 1.5px solid var(--_empty); font-size: calc(var(--_size) * .44); line-height: 1; color: var(--_muted);
      font-variant-numeric: tabular-nums }
    .takes .zero:hover { border-color: var(--_own); color: var(--_own) }
    .zero[aria-checked=true] { border-color: var(--_own); color: var(--_own); font-weight: 700 }
    [aria-disabled=true] { cursor: not-allowed }
    .takes .star:hover { transform: scale(1.12) }
    .average { font-size: 1.25em; font-weight: 650; font-variant-numeric: tabular-nums }
    .small { font-size: .8125em; color: var(--_muted); font-variant-numeric: tabular-nums }
    .own-line, .trouble { display: flex; flex-wrap: wrap; gap: 0 .5em }
    .own-line { min-height: 1.45em }
    .own-line button, .trouble button { color: var(--_own); text-decoration: underline; text-underline-offset: .15em }
    .trouble { color: var(--_error) }
    [hidden] { display: none }
    @media (prefers-reduced-motion: reduce) { .star { transition: none } .takes .star:hover { transform: none } }
    @media (forced-colors: active) { .front { fill: Highlight; stroke: Highlight } .back { stroke: ButtonText } }`;
  let sheet;

  const make = (name, attributes = {}, ...children) => {
    const at = name === 'svg' || name === 'path' ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) at.setAttribute(key, value);
    at.append(...children);
    return at;
  };
  const star = (kind) => make('svg', { viewBox: '0 0 24 24', class: kind, 'aria-hidden': 'true' }, make('path', { d: STAR }));
  const say = (at, text) => {
    // A screen reader reads what is written.
    if (at.textContent !== text) at.textContent = text;
    at.hidden = !text;
  };

  // One stream of events for all widgets of a server.
  const feeds = new Map();
  const follow = (base, widget) => {
    let feed = feeds.get(base);
    if (!feed) {
      feed = { source: new EventSource(`${base}/api/events`), widgets: new Set() };
      feed.source.addEventListener('average', (event) => {
        const news = JSON.parse(event.data);
        for (const one of [...feed.widgets]) one.news(news);
      });
      feed.source.addEventListener('reset', () => { 
        // Not all visitors in one moment.
        for (const one of feed.widgets) setTimeout(() => one.reload(), 3_000 * Math.random());
      });
      feeds.set(base, feed);
    }
    feed.widgets.add(widget);
    return () => {
      feed.widgets.delete(widget);
      if (!feed.widgets.size && feeds.delete(base)) feed.source.close();
    };
  };

  class Rating extends HTMLElement {
    static observedAttributes = ['post', 'src', 'user', 'token', 'readonly', 'live', ...WORD_NAMES];

    #parts; // Elements of the shadow root
    #post; // The post, as the API answers it
    #choice; // A score that is being sent; null takes back; undefined: none
    #hover; // The score under the mouse
    #trouble; // What did not work: { word, detail }
    #again; // Does it once more
    #token; // A text, or a function that returns one
    #isUnnamed = false; // The token was refused
    #isSending = false;
    #reading = 0; // Counts readings: only the newest is shown
    #timers = {};
    #followed; // The server whose events it follows
    #leave; // Ends that

    constructor() {
      super();
      this.attachShadow({ mode: 'open', delegatesFocus: true });
      if (!sheet) (sheet = new CSSStyleSheet()).replaceSync(STYLE);
      this.shadowRoot.adoptedStyleSheets = [sheet];
    }

    connectedCallback() {
      // What a page set before.
      for (const name of ['token', 'post', 'src', 'user', 'readonly']) {
        if (Object.hasOwn(this, name)) {
          const value = this[name];
          delete this[name];
          this[name] = value;
        }
      }
      this.#build();
      this.#read('default');
    }

    disconnectedCallback() {
      this.#leave?.();
      this.#leave = this.#followed = undefined;
      for (const name of Object.keys(this.#timers)) this.#later(name);
      this.#reading += 1;
    }

    attributeChangedCallback(name, before, after) {
      if (!this.#parts || !this.isConnected || before === after) return;
      if (name === 'readonly') this.#build();
      if (name.startsWith('word-') || name === 'readonly') return this.#show();
      if (name === 'post' || name === 'src') this.#post = this.#trouble = this.#choice = undefined;
      this.#isUnnamed = false;
      this.reload();
    }

    get post() { return this.getAttribute('post') ?? ''; }
    set post(post) { this.setAttribute('post', post); }
    get src() { return this.getAttribute('src') ?? HOME; }
    set src(src) { this.setAttribute('src', src); }
    get user() { return this.getAttribute('user'); }
    set user(user) { user == null ? this.removeAttribute('user') : this.setAttribute('user', user); }
    get readonly() { return this.hasAttribute('readonly'); }
    set readonly(is) { this.toggleAttribute('readonly', Boolean(is)); }
    get token() { return this.#token ?? this.getAttribute('token'); }
    set token(token) {
      this.#token = token;
      this.#isUnnamed = false;
      if (this.#parts) this.reload();
    }
    /** The visitor's own score; null without one. */
    get value() { return this.#own?.score ?? null; }
    get average() { return this.#post?.average ?? null; }
    get count() { return this.#post?.count ?? 0; }

    /** Rates as the visitor; null takes the rating back. */
    rate(score) {
      if (score !== null && !SCORES.includes(score)) throw new RangeError('a score is 0, 1, 2, 3, 4, 5 or null');
      this.#choose(score, 0);
    }

    /** Reads the post again. */
    reload() { return this.#read('no-cache'); }

    async #read(cache, attempt = 1) {
      const reading = ++this.#reading;
      if (!this.isConnected || !this.post) return;
      this.#follow();
      const answer = await this.#call('GET', '', undefined, cache);
      if (reading !== this.#reading) return;
      if (answer.ok) {
        this.#post = answer.json;
        if (this.#trouble?.of === 'reading') this.#trouble = undefined;
        this.#emit('damper-loaded', { post: this.post, average: this.average, count: this.count, score: this.value });
        this.#readAgain();
      } else {
        this.#fail(answer, 'reading', () => this.#read(cache, attempt + 1), attempt);
      }
      this.#show();
    }

    /** An average has changed. */
    news(figures) {
      if (figures.id !== this.post || !this.#post) return;
      if (this.#own?.pending) return this.reload();
      Object.assign(this.#post, figures);
      this.#show();
    }

    get #own() { return this.#post?.my_rating; }
    get #base() { return new URL(this.src, document.baseURI).href.replace(/\/+$/, ''); }
    get #takes() { return !this.readonly && this.#post && !this.#post.frozen; }

    #emit(name, detail, cancelable = false) {
      return this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable }));
    }

    #later(name, ms, act) {
      clearTimeout(this.#timers[name]);
      delete this.#timers[name];
      if (act) this.#timers[name] = setTimeout(() => { delete this.#timers[name]; act(); }, ms);
    }

    #follow() {
      const base = this.hasAttribute('live') ? this.#base : undefined;
      if (base === this.#followed) return;
      this.#leave?.();
      [this.#followed, this.#leave] = [base, base && follow(base, this)];
    }

    // An own rating counts from the next tick on; a live one follows the average's glide as well.
    #readAgain() {
      if (!this.#own?.pending && !this.hasAttribute('live')) return this.#later('tick');
      const ms = Date.parse(this.#post.next_tick) - Date.now();
      const chance = 1_000 + 3_000 * Math.random();
      this.#later('tick', Math.min(ms < 0 ? READ_AGAIN_MS : ms, READ_AGAIN_MS_MAX) + chance, () => {
        if (!document.hidden) return this.reload();
        document.addEventListener('visibilitychange', () => this.reload(), { once: true });
      });
    }

    // Calls as the visitor: { ok, status, json, wait }; a status of 0 says that there was no answer.
    async #call(method, path, body, cache, isAgain = false) {
      let token;
      try {
        token = typeof this.token === 'function' ? await this.token(isAgain) : this.token;
        const url = new URL(`${this.#base}/api/posts/${encodeURIComponent(this.post)}${path}`);
        const isNamed = !this.#isUnnamed || method !== 'GET';
        const headers = {};
        if (token && isNamed) headers.authorization = `Bearer ${token}`;
        else if (this.user && body) body.user_id = this.user;
        else if (this.user) url.searchParams.set('user_id', this.user);
        if (body) headers['content-type'] = 'application/json';
        const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body), cache, credentials: 'omit' });
        if (answer.status === 401 && token && isNamed) {
          if (typeof this.token === 'function' && !isAgain) return this.#call(method, path, body, cache, true);
          if (method === 'GET') {
            this.#isUnnamed = true;
            return this.#call(method, path, body, cache);
          }
        }
        const json = await answer.json().catch(() => ({}));
        return { ok: answer.ok, status: answer.status, json, wait: Number(answer.headers.get('retry-after')) };
      } catch (error) {
        return { ok: false, status: 0, json: { title: String(error.message ?? error) } };
      }
    }

    #choose(score, ms) {
      if (!this.#takes) return;
      if (!this.user && !this.token) return this.#askWho();
      this.#choice = score;
      this.#trouble = undefined;
      this.#later('retry');
      this.#later('chosen', ms, () => this.#send());
      this.#show();
    }

    #askWho() {
      this.#trouble = { word: 'sign-in', of: 'rating' };
      this.#emit('damper-sign-in', { post: this.post });
      this.#show();
    }

    async #send(attempt = 1) {
      if (this.#isSending || this.#choice === undefined || this.#timers.chosen) return;
      const [score, post] = [this.#choice, this.post];
      this.#isSending = true;
      const answer = await (score === null ? this.#call('DELETE', '/rate') : this.#call('POST', '/rate', { score }));
      this.#isSending = false;
      // The widget shows another post by now.
      if (post !== this.post || !this.#post) return;
      if (this.#choice !== score) return this.#send();
      if (answer.ok) {
        this.#choice = this.#trouble = undefined;
        // A reading under way may not know it yet.
        this.#reading += 1;
        this.#post = { ...this.#post, my_rating: { score, pending: true }, next_tick: answer.json.counts_from };
        this.#readAgain();
        const { accepted_at: acceptedAt, counts_from: countsFrom } = answer.json;
        this.#emit('damper-rated', { post, score, acceptedAt, countsFrom });
      } else if (answer.status === 401) {
        this.#choice = undefined;
        this.#askWho();
      } else {
        this.#fail(answer, 'rating', () => this.#send(attempt + 1), attempt);
      }
      this.#show();
    }

    // Says what did not work, and does it again by itself when that may help.
    #fail({ status, json, wait }, of, again, attempt = 1) {
      const passes = (status === 429 && of === 'rating') || status === 503 || status === 0;
      const word = { 429: 'limited', 404: 'missing', 423: 'frozen' }[status] ?? (passes ? 'away' : 'failed');
      this.#trouble = { word, detail: json.detail ?? json.title ?? status, of };
      this.#again = undefined;
      if (passes && (attempt < ATTEMPTS_MAX || of === 'reading')) {
        const seconds = Math.min(Math.max(wait || 0, RETRY_SECONDS * attempt), RETRY_SECONDS_MAX);
        this.#again = again;
        this.#later('retry', seconds * 1_000, again);
      } else if (of === 'rating') {
        // The same can be tried by hand.
        const choice = this.#choice;
        if (passes) {
          this.#trouble.word = 'failed';
          this.#again = () => this.#choose(choice, 0);
        }
        this.#choice = undefined;
        if (status === 423) this.reload();
      }
      this.#emit('damper-error', { post: this.post, status, type: json.type ?? null, title: json.title ?? null });
    }

    // A page may name a language that there is not.
    get #lang() {
      try { return Intl.getCanonicalLocales(this.closest('[lang]')?.lang || [])[0]; } catch { return undefined; }
    }

    #intl(kind, value, options) { return new Intl[kind](this.#lang, options).format(value); }

    #word(word, values = {}) {
      let text;
      if ('count' in values) {
        const form = new Intl.PluralRules(this.#lang).select(values.count);
        text = this.getAttribute(`word-${word}-${form}`) ?? this.getAttribute(`word-${word}`) ?? WORDS[`${word}-${form}`];
        values = { count: this.#intl('NumberFormat', values.count) };
      }
      text ??= this.getAttribute(`word-${word}`) ?? WORDS[word];
      return text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
    }

    #time(text) {
      const time = new Date(text);
      const dateStyle = time - Date.now() < 20 * 3_600_000 ? undefined : 'medium';
      return this.#intl('DateTimeFormat', time, { dateStyle, timeStyle: 'short' });
    }

    #build() {
      const hadFocus = this.shadowRoot.activeElement !== null;
      const isShown = this.readonly;
      const face = () => [star('back'), star('front')];
      const radio = (score) => make('button', {
        type: 'button', role: 'radio', class: score ? 'star' : 'zero', part: score ? 'star' : 'zero', 'data-score': score,
      }, ...(score ? face() : ['0']));
      const scores = isShown
        ? SCORES.slice(1).map((score) => make('span', { class: 'star', part: 'star', 'data-score': score }, ...face()))
        : SCORES.map(radio);
      const stars = make('div', isShown ? { role: 'img' } : { role: 'radiogroup', 'aria-describedby': 'count own' }, ...scores);
      stars.part = 'stars';
      const average = make('span', { class: 'average', part: 'average', 'aria-hidden': isShown });
      const count = make('div', { class: 'small', part: 'count', id: 'count' });
      const own = make('span', { part: 'own', id: 'own', role: 'status' });
      const takeBack = make('button', { type: 'button', part: 'take-back' });
      const ownLine = make('div', { class: 'small own-line' }, own, takeBack);
      const error = make('span', { part: 'error', role: 'alert' });
      const retry = make('button', { type: 'button', part: 'retry' });
      const trouble = make('div', { class: 'small trouble' }, error, retry);
      const all = make('div', { part: 'base' }, make('div', { class: 'line' }, stars, average), count, ownLine, trouble);
      this.shadowRoot.replaceChildren(all);
      this.#parts = { all, stars, scores, average, count, own, takeBack, ownLine, error, retry, trouble };
      if (!isShown) {
        stars.addEventListener('click', (event) => this.#pick(event.target.closest('[data-score]'), 0));
        stars.addEventListener('keydown', (event) => this.#key(event));
        stars.addEventListener('focusout', (event) => {
          if (this.#timers.chosen && !stars.contains(event.relatedTarget)) this.#choose(this.#choice, 0);
        });
        stars.addEventListener('pointerover', (event) => {
          const score = event.target.closest('[data-score]')?.dataset.score;
          if (event.pointerType === 'mouse' && score && this.#takes) this.#hover = Number(score);
          this.#show();
        });
        stars.addEventListener('pointerleave', () => { this.#hover = undefined; this.#show(); });
        takeBack.addEventListener('click', () => { this.#choose(null, 0); this.focus(); });
      }
      retry.addEventListener('click', () => { this.#later('retry'); this.#again?.(); });
      this.#show();
      if (hadFocus) this.focus();
    }

    #pick(at, ms) {
      if (!at) return;
      this.#hover = undefined;
      this.#choose(Number(at.dataset.score), ms);
      at.focus();
    }

    #key(event) {
      if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const { scores, all } = this.#parts;
      const at = Number(event.target.closest('[data-score]')?.dataset.score);
      const ahead = all.classList.contains('rtl') ? 'ArrowLeft' : 'ArrowRight';
      const step = { ArrowDown: 1, ArrowUp: -1, ArrowLeft: -1, ArrowRight: -1, [ahead]: 1 }[event.key];
      const isDigit = /^[0-5]$/.test(event.key);
      if (event.key === 'Delete' || event.key === 'Backspace') {
        if (this.#chosen != null) this.#choose(null, 0);
      } else if (isDigit) this.#pick(scores[Number(event.key)], 0);
      else if (event.key === 'Home') this.#pick(scores[0], CHOSEN_MS);
      else if (event.key === 'End') this.#pick(scores.at(-1), CHOSEN_MS);
      // The ends are ends: one step too far must not make a 5 a 0.
      else if (step) this.#pick(scores[Math.min(Math.max(at + step, 0), scores.length - 1)], CHOSEN_MS);
      else return;
      event.preventDefault();
    }

    // The score that is being sent, or else the own one
    get #chosen() { return this.#choice === undefined ? this.#own?.score : this.#choice; }

    #show() {
      const { all, stars, scores, average, count, own, takeBack, ownLine, error, retry, trouble } = this.#parts;
      const post = this.#post;
      all.classList.toggle('rtl', getComputedStyle(this).direction === 'rtl');
      const chosen = this.#chosen;
      const shown = this.readonly ? undefined : this.#hover ?? chosen ?? undefined;
      // To halves, as stars are read; the number beside them says more.
      const filled = shown ?? Math.round((post?.average ?? 0) * 2) / 2;
      stars.className = `stars${shown === undefined ? '' : ' own'}${this.#takes ? ' takes' : ''}`;
      const mean = post?.average == null ? '' : this.#intl('NumberFormat', post.average, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
      const counted = post?.count ? this.#word('ratings', { count: post.count }) : post ? this.#word('none') : '';
      const phasing = post?.phasing_in ? this.#word('phasing', { count: post.phasing_in }) : '';
      const summary = [counted, phasing].filter(Boolean).join(' · ');
      const named = this.readonly ? [mean && this.#word('score', { score: mean }), counted].filter(Boolean).join(', ') : '';
      stars.setAttribute('aria-label', named || this.#word('label'));
      for (const at of scores) {
        const score = Number(at.dataset.score);
        at.style.setProperty('--part', `${Math.min(Math.max(filled - score + 1, 0), 1) * 100}%`);
        if (this.readonly) continue;
        at.setAttribute('aria-checked', score === chosen);
        at.setAttribute('aria-label', this.#word('score', { score }));
        at.setAttribute('aria-disabled', !this.#takes);
        at.tabIndex = score === (chosen ?? 0) ? 0 : -1;
      }
      say(average, mean);
      say(count, summary);
      ownLine.hidden = this.readonly || !post;
      say(own, this.#ownText());
      say(takeBack, this.#takes && this.#chosen != null ? this.#word('take-back') : '');
      say(error, this.#trouble ? this.#word(this.#trouble.word, { detail: this.#trouble.detail }) : '');
      say(retry, this.#trouble && this.#again ? this.#word('retry') : '');
      trouble.hidden = !this.#trouble;
    }

    #ownText() {
      const [choice, own, post] = [this.#choice, this.#own, this.#post];
      if (!post) return '';
      const values = { score: this.#chosen, time: this.#time(post.next_tick) };
      const word = choice === null ? 'taking-back'
        : choice !== undefined ? 'sending'
        : own?.held ? 'held'
        : own?.pending ? (own.score === null ? 'taken-back' : 'pending')
        : own?.score != null ? 'own' : 'unrated';
      const text = this.#word(word, values);
      if (!post.frozen) return text;
      return word === 'unrated' ? this.#word('frozen') : `${text} · ${this.#word('frozen')}`;
    }
  }

  if (!customElements.get('damper-rating')) customElements.define('damper-rating', Rating);
})();
