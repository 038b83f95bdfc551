/**
 * The cache: memory, Redis, counters, and purging.
 */

import { useState } from 'preact/hooks'
import type { CacheAnswer } from '../../answers/cache.ts'
import { bytesText, countText } from '../format.ts'
import { useResource } from '../hooks.ts'
import { html } from '../html.ts'
import type { Ask } from '../parts/dialog.ts'
import { purgedText } from '../parts/purged.ts'

const EVERY_MS = 2_000
/** What can be purged, with an example of each. */
const KINDS = {
  url: '/stores/3/prices',
  prefix: 'https://shop.test/stores/',
  tag: 'prices',
  upstream: 'legacy',
  route: 'prices',
} as const

export function Cache({ ask }: { ask: Ask }) {
  const { body, error, again } = useResource<CacheAnswer>('/cache', EVERY_MS)
  const [kind, setKind] = useState<keyof typeof KINDS>('url')
  const [value, setValue] = useState('')
  const [told, setTold] = useState('')
  const purge = (what: object, words: string): void =>
    ask({
      title: `Purge ${words}`,
      verb: 'Purge',
      isGrave: true,
      act: { method: 'POST', path: '/cache/purge', body: what },
      onDone: (answer) => {
        setTold(purgedText(answer))
        again()
      },
    })
  return html`
    <main id="main" tabindex="-1">
      <h1>Cache</h1>
      ${body === null && html`<p>${error ?? 'Loading…'}</p>`}
      ${
        body !== null &&
        html`
        ${body.degraded !== null && html`<p class="problem">${body.degraded}</p>`}
        <section class="card" aria-label="Storage"><dl>
          <dt>Memory</dt><dd>${countText(body.memory.entries)} responses, ${bytesText(body.memory.bytes)} of ${bytesText(body.memory.maxBytes)}</dd>
          <dt>Redis</dt><dd>${body.remote === null ? 'none' : (body.remote.state ?? 'yes')}</dd>
        </dl></section>
        <section class="card" aria-label="Purge"><h2>Purge</h2>
          <form class="tools" onSubmit=${(event: Event) => {
            event.preventDefault()
            purge({ [kind]: value }, `${kind} ${value}`)
          }}>
            <label>By <select value=${kind} onChange=${(event: Event) => setKind((event.target as HTMLSelectElement).value as keyof typeof KINDS)}>${Object.keys(KINDS).map((one) => html`<option value=${one}>${one === 'url' ? 'URL' : one}</option>`)}</select></label>
            <label>Value <input required placeholder=${KINDS[kind]} value=${value} onInput=${(event: Event) => setValue((event.target as HTMLInputElement).value)} /></label>
            <button class="grave">Purge…</button>
            <button type="button" class="grave" onClick=${() => purge({ everything: true }, 'everything')}>Everything…</button>
          </form><p role="status">${told}</p></section>
        <section class="card" aria-label="Counters"><h2>Counters</h2><dl class="counters">${Object.entries(
          body.counters,
        )
          .filter(([, count]) => typeof count === 'number')
          .map(
            ([name, count]) => html`<dt>${wordsOf(name)}</dt><dd>${countText(count as number)}</dd>`,
          )}</dl></section>`
      }
    </main>`
}

/** `refresh failures` for refreshFailures. */
function wordsOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}
