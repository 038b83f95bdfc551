/**
 * Endpoints that no route claims, with one click to a route at 0 %.
 */

import { useState } from 'preact/hooks'
import type { DiscoveredAnswer, EndpointAnswer } from '../../answers/progress.ts'
import { countText, msText, ratioText, timeText } from '../format.ts'
import { useLive, useResource } from '../hooks.ts'
import { html } from '../html.ts'
import type { Ask } from '../parts/dialog.ts'
import { DataTable } from '../parts/table.ts'

const EVERY_MS = 10_000
const SHOWN = 200

export function Endpoints({ ask }: { ask: Ask }) {
  const { rows, default: fallback, edition } = useLive()
  const { body, error, again } = useResource<DiscoveredAnswer>('/discovered', EVERY_MS)
  const { body: known } = useResource<{ upstreams: readonly { name: string }[] }>('/upstreams', 0, edition)
  const names = (known?.upstreams ?? []).map(({ name }) => name).filter((name) => name !== fallback)
  const [to, setTo] = useState<string | null>(null)
  const target = to ?? names[0] ?? null
  const add = ({ method, path }: EndpointAnswer): void => {
    const route = {
      id: idFor(
        path,
        rows.map(({ id }) => id),
      ),
      match: { path, ...methodsOf(method) },
      to: target,
      percent: 0,
    }
    ask({
      title: `Add a route for ${method} ${path} at 0 %`,
      note: `Requests still go to ${fallback}; the route ${route.id} can then be compared and moved to ${target}.`,
      verb: 'Add the route',
      act: { method: 'POST', path: '/routes', body: route },
      dryRun: true,
      onDone: again,
    })
  }
  return html`
    <main id="main" tabindex="-1">
      <h1>Endpoints that no route claims</h1>
      ${body === null && html`<p>${error ?? 'Loading…'}</p>`}
      ${body?.problem != null && html`<p class="problem">${body.problem}</p>`}
      ${
        body !== null &&
        html`<div class="tools">
          <label>New routes go to <select onChange=${(event: Event) => setTo((event.target as HTMLSelectElement).value)}>
            ${names.map((name) => html`<option value=${name} selected=${name === target}>${name}</option>`)}
          </select></label>
          <span class="dim">since ${timeText(body.since)}</span>
        </div>
        ${
          body.endpoints.length === 0
            ? html`<p class="dim">The application has answered no request without a route yet${body.others.refused > 0 && `, but refused ${countText(body.others.refused)} (404, 405 and the like)`}.</p>`
            : html`<section class="card" aria-label="Endpoints"><${DataTable} label="Endpoints" titles=${['Endpoint', 'Requests', 'Share', '5xx', 'Mean', 'Last', 'Callers', '']}
          rows=${body.endpoints.slice(0, SHOWN).map((one) => ({
            key: one.id,
            cells: [
              html`<code>${one.method} ${one.path}</code>`,
              countText(one.requests),
              ratioText(one.share),
              countText(one.statuses['5xx'] ?? 0),
              msText(one.meanMs),
              timeText(one.last),
              one.callers
                .slice(0, 3)
                .map(({ agent, network }) => `${agent} (${network})`)
                .join(', '),
              one.route ??
                html`<button type="button" disabled=${target === null} onClick=${() => add(one)}>Add route…<span class="hidden"> ${one.path}</span></button>`,
            ],
          }))} /></section>`
        }
        ${body.endpoints.length > SHOWN && html`<p class="dim">and ${countText(body.endpoints.length - SHOWN)} more: banyan discover lists all</p>`}`
      }
    </main>`
}

/** HEAD goes where GET goes. Rare methods are counted together, as OTHER: a route for them takes all. */
function methodsOf(method: string): { readonly methods?: readonly string[] } {
  if (method === 'OTHER') return {}
  return { methods: method === 'GET' ? ['GET', 'HEAD'] : [method] }
}

/** An id of the words of the path that is not taken yet. */
function idFor(path: string, taken: readonly string[]): string {
  const words = path.split('/').filter((word) => /^[a-z0-9-]+$/i.test(word))
  const id = words.slice(-2).join('-').toLowerCase() || 'root'
  for (let n = 1; ; n++) {
    const wanted = n === 1 ? id : `${id}-${n}`
    if (!taken.includes(wanted)) return wanted
  }
}
