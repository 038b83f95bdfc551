/**
 * Price changes as server-sent events (WHATWG HTML section 9.2): resumable by Last-Event-ID, endless unless a count is asked for.
 */
import { CATALOG_SIZE, money, productOf } from './catalog.ts'
import { type Exchange, Refusal } from './exchange.ts'
import { mix } from './mix.ts'
import { stamp } from './pages.ts'
import type { Route } from './router.ts'
import { parseCount, parseDurationMs } from './units.ts'

/** The routes of this family. */
export const eventRoutes: readonly Route[] = [{ path: '/events/prices', methods: { GET: prices } }]

/** `every` (default 1s, at least 1ms) is the time between events, `count` their number; both come in the query. */
async function prices(x: Exchange): Promise<void> {
  const everyMs = parseDurationMs(x.query.get('every') ?? '1s')
  const count = parseCount(x.query.get('count') ?? String(Number.MAX_SAFE_INTEGER).slice(0, 15))
  if (everyMs === null || everyMs < 1 || count === null) throw new Refusal(400, 'BAD EVENT PARAMETERS')
  x.head(200, [
    ['Content-Type', 'text/event-stream'],
    ['Cache-Control', 'no-cache'],
    ['X-Accel-Buffering', 'no'],
  ])
  if (x.req.method === 'HEAD') return void x.res.end()
  const first = (parseCount(String(x.req.headers['last-event-id'] ?? '0')) ?? 0) + 1
  await x.write(': prices follow\nretry: 3000\n\n')
  // A shutdown ends the stream as a complete one: the client comes back by itself with Last-Event-ID.
  for (let id = first; id < first + count; id++) {
    await x.write(eventOf(x, id))
    if (id + 1 < first + count && !(await x.pause(everyMs))) break
  }
  x.res.end()
}

function eventOf(x: Exchange, id: number): string {
  const { gtin, stores } = productOf(mix(id % 2 ** 32, 40) % CATALOG_SIZE, x.legacy.today())
  const [first] = stores
  const data = { gtin, store: String(first?.store), price: money(first?.specialCents ?? 0), at: stamp(x) }
  return `id: ${id}\nevent: price\ndata: ${JSON.stringify(data)}\n\n`
}
