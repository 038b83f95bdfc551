/**
 * Upstreams and their servers: health, drains, leases, connections.
 */
import type { LiveServerAnswer, UpstreamAnswer } from '../../answers/upstreams.ts'
import { at } from '../api.ts'
import { countText, msText, rateText, ratioText } from '../format.ts'
import { useResource } from '../hooks.ts'
import { html } from '../html.ts'
import type { Ask } from '../parts/dialog.ts'
import { DataTable } from '../parts/table.ts'

const EVERY_MS = 2_000

export function Servers({ ask }: { ask: Ask }) {
  const { body, error, again } = useResource<{ upstreams: readonly UpstreamAnswer[] }>('/upstreams', EVERY_MS)
  const drain = (upstream: string, servers: readonly LiveServerAnswer[], server: LiveServerAnswer): void => {
    const verb = isDrained(server) ? 'undrain' : 'drain'
    const others = new Set(
      servers
        .filter((one) => !isDrained(one))
        .map(({ id }) => id)
        .filter((id) => id !== server.id),
    ).size
    const rest =
      others === 0 ? `No other server of ${upstream} takes requests` : `${countText(others)} of its servers go on`
    ask({
      title: `${verb === 'drain' ? 'Drain' : 'Undrain'} ${server.id} of ${upstream}`,
      note: verb === 'drain' ? `It gets no new requests; those in flight finish. ${rest}.` : 'It gets requests again.',
      verb: verb === 'drain' ? 'Drain' : 'Undrain',
      isGrave: verb === 'drain',
      act: { method: 'POST', path: at`/upstreams/${upstream}/servers/${server.id}/${verb}` },
      onDone: again,
    })
  }
  return html`
    <main id="main" tabindex="-1">
      <h1>Servers</h1>
      ${body === null && html`<p>${error ?? 'Loading…'}</p>`}
      ${body?.upstreams.map(
        ({ name, live }) => html`
          <section class="card" key=${name} aria-label=${name}>
            <h2>${name}</h2>
            <p class="dim">${rateText(live.lastMinute.perSecond)}, errors ${ratioText(live.lastMinute.errorRatio)}, p99 ${msText(live.lastMinute.p99Ms)}${live.queued > 0 && `, ${live.queued} waiting`}</p>
            ${live.breakers
              .filter(({ state }) => state !== 'closed')
              .map(({ route, state }) => html`<p class="bad">The breaker of route ${route} is ${state}.</p>`)}
            <${DataTable} isEven label=${`Servers of ${name}`} titles=${['Server', 'State', 'Weight', 'In flight', 'Requests', 'Failures', '']}
              rows=${live.servers.map((server) => ({
                key: `${server.id} ${server.url}`,
                cells: [
                  html`${server.id}${server.leased && html` <span class="mark">lease</span>`}`,
                  html`<span class=${server.state === 'up' ? 'good' : isDrained(server) ? 'old' : 'bad'}>${server.state}${server.health?.healthy === false && html` <small>${server.health.last?.detail}</small>`}</span>`,
                  server.weight,
                  server.connections.active,
                  countText(server.exchanges),
                  countText(server.failures),
                  html`<button type="button" onClick=${() => drain(name, live.servers, server)}>${isDrained(server) ? 'Undrain' : 'Drain'}…<span class="hidden"> ${server.id}</span></button>`,
                ],
              }))} />
          </section>`,
      )}
    </main>`
}

function isDrained({ state }: LiveServerAnswer): boolean {
  return state === 'drained'
}
