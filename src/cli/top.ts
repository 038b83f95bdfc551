/**
 * `banyan top`: what is busy, slow or failing now: routes with their sides, and servers.
 */
import type { RouteAnswer, RouteWindowAnswer } from '../answers/routes.ts'
import type { UpstreamAnswer } from '../answers/upstreams.ts'
import { targetNames } from '../rules/routing/targets.ts'
import type { AdminClient } from './admin-client.ts'
import { columns } from './columns.ts'
import { ADMIN_FLAG, type Command, durationOf, type Given, JSON_FLAG } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'
import { said } from './routes.ts'
import { clock, pause, screen } from './watch.ts'

const SORTS = ['rate', 'errors', 'p95'] as const
type Sort = (typeof SORTS)[number]

/** Servers count from the start; their rate is what has come between two looks. */
const FIRST_LOOK_MS = 1_000
const LEAST_EVERY_MS = 500

export const top: Command = {
  name: 'top',
  usage: '[ROUTE]',
  summary: 'show which routes, sides and servers are busy, slow or failing, live',
  about: `A route has what clients got in the last minute; below it each of its sides has what its servers did for the requests that were drawn
for it: attempts, those that failed, and the time to the response headers. So a slow side shows, fallback or not. RATE and ERRORS of a
server are since the last look. In a terminal it goes on until q or Ctrl-C; --once, --json and a pipe end it after one look.`,
  examples: ['banyan top', 'banyan top --sort p95', 'banyan top gtin-lookup', 'banyan top --json | jq .routes[].p95Ms'],
  flags: {
    sort: { value: SORTS.join('|'), help: 'what comes first (rate)' },
    every: { value: 'TIME', help: 'time between two looks (2s)' },
    once: { value: '', help: 'one look' },
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [0, 1],
  run: runTop,
}

/** A route, or one of its sides. */
interface Row {
  readonly route: string | null
  /** Null for the route as a whole. */
  readonly side: string | null
  readonly percent: number | null
  readonly perSecond: number
  readonly errorRatio: number | null
  readonly p50Ms: number | null
  readonly p95Ms: number | null
}

interface ServerRow {
  readonly upstream: string
  readonly server: string
  readonly url: string
  readonly state: string
  readonly active: number
  readonly perSecond: number | null
  readonly errorRatio: number | null
}

/** One look. */
interface Look {
  readonly revision: number
  readonly routes: readonly Row[]
  readonly servers: readonly ServerRow[]
}

/** What servers had counted, and when. */
interface Counted {
  readonly atMs: number
  readonly servers: ReadonlyMap<string, { readonly exchanges: number; readonly failures: number }>
}

async function runTop(given: Given, io: Io): Promise<ExitCode> {
  const sort = sortOf(given)
  const everyMs = durationOf('every', given.text('every') ?? '2s')
  if (everyMs < LEAST_EVERY_MS) throw new CommandError(EXIT.usage, '--every: at least 500ms')
  const [route] = given.args
  const client = given.client(io)
  const first = await countedNow(client, io)
  const isOnce = given.has('once') || given.has('json') || io.terminal() === null
  if (!isOnce) return live(client, { sort, route, everyMs, first }, io)
  await io.sleep(FIRST_LOOK_MS)
  const [seen] = await look(client, { sort, route }, first, io)
  io.out(given.has('json') ? jsonText(seen) : lookText(seen, io))
  return EXIT.done
}

function sortOf(given: Given): Sort {
  const text = given.text('sort') ?? 'rate'
  const found = SORTS.find((one) => one === text)
  if (found === undefined) throw new CommandError(EXIT.usage, `--sort ${text}: must be one of ${SORTS.join(', ')}`)
  return found
}

interface Wanted {
  readonly sort: Sort
  readonly route: string | undefined
}

async function live(
  client: AdminClient,
  wanted: Wanted & { everyMs: number; first: Counted },
  io: Io,
): Promise<ExitCode> {
  const ended = io.untilEnded()
  let before = wanted.first
  // The other screen of the terminal, without a cursor: what was there before comes back at the end.
  io.out('\x1b[?1049h\x1b[?25l')
  try {
    await pause(FIRST_LOOK_MS, ended, io)
    while (!ended.aborted) {
      let text: string
      try {
        const [seen, counted] = await look(client, wanted, before, io)
        before = counted
        const where = client.context === null ? client.address : `${client.context} (${client.address})`
        text = screen(`${printable(where)}  revision ${seen.revision}  ${clock(io)}  q quits`, lookText(seen, io), io)
      } catch (error) {
        // A proxy that is restarted comes back.
        if (!(error instanceof CommandError) || error.code !== EXIT.unreachable) throw error
        text = screen(`${clock(io)}  q quits`, `${error.message}\n`, io)
      }
      if (!ended.aborted) io.out(text)
      await pause(wanted.everyMs, ended, io)
    }
  } finally {
    io.out('\x1b[?25h\x1b[?1049l')
  }
  return EXIT.done
}

interface Listed extends RouteAnswer {
  readonly from?: string
  readonly to: Parameters<typeof targetNames>[0]
}

async function look(client: AdminClient, { sort, route }: Wanted, before: Counted, io: Io): Promise<[Look, Counted]> {
  const { json } = await client.ask('GET', route === undefined ? '/routes' : `/routes/${encodeURIComponent(route)}`)
  const list: readonly Listed[] = route === undefined ? json.routes : [json]
  const groups = list.map((one) => rowsOf(one))
  const unclaimed = json.live?.unclaimed?.lastMinute as RouteWindowAnswer | null | undefined
  if (route === undefined && unclaimed) groups.push([wholeRow(null, null, unclaimed)])
  const value = ([whole]: readonly Row[]): number =>
    ({ rate: whole?.perSecond, errors: whole?.errorRatio, p95: whole?.p95Ms })[sort] ?? -1
  const sorted = groups.sort((a, b) => value(b) - value(a))
  const names = new Set(route === undefined ? [] : list.flatMap(({ from, to }) => [from ?? '', ...targetNames(to)]))
  const upstreams = (await client.ask('GET', '/upstreams')).json
  if (names.has('')) names.add(upstreams.default)
  const now = countedIn(upstreams.upstreams, io)
  const shown = (upstreams.upstreams as readonly UpstreamAnswer[]).filter(
    ({ name }) => names.size === 0 || names.has(name),
  )
  const servers = shown.flatMap((one) => serverRows(one, before, now))
  return [{ revision: json.revision, routes: sorted.flat(), servers }, now]
}

/** The route, then its old side, then the new ones. */
function rowsOf({ id, to, percent, live }: Listed): Row[] {
  const window = live.lastMinute
  if (window === null)
    return [{ route: id, side: null, percent, perSecond: 0, errorRatio: null, p50Ms: null, p95Ms: null }]
  const isNew = ([side]: readonly [string, unknown]): number => (targetNames(to).includes(side) ? 1 : 0)
  const inOrder = Object.entries(window.sides).sort((a, b) => isNew(a) - isNew(b))
  const sides = inOrder.map(([side, figures]) => {
    const { attempts, failedRatio, attemptP50Ms, attemptP95Ms } = figures
    const perSecond = Math.round((attempts / Math.max(1, window.seconds)) * 10_000) / 10_000
    return {
      route: id,
      side,
      percent: null,
      perSecond,
      errorRatio: failedRatio,
      p50Ms: attemptP50Ms,
      p95Ms: attemptP95Ms,
    }
  })
  return [wholeRow(id, percent, window), ...sides]
}

function wholeRow(route: string | null, percent: number | null, window: RouteWindowAnswer): Row {
  const { perSecond, errorRatio, p50Ms, p95Ms } = window
  return { route, side: null, percent, perSecond, errorRatio, p50Ms, p95Ms }
}

async function countedNow(client: AdminClient, io: Io): Promise<Counted> {
  return countedIn((await client.ask('GET', '/upstreams')).json.upstreams, io)
}

function countedIn(upstreams: readonly UpstreamAnswer[], io: Io): Counted {
  const servers = upstreams.flatMap(({ name, live }) =>
    live.servers.map(({ id, exchanges, failures }) => [`${name} ${id}`, { exchanges, failures }] as const),
  )
  return { atMs: io.now(), servers: new Map(servers) }
}

function serverRows({ name, live }: UpstreamAnswer, before: Counted, now: Counted): ServerRow[] {
  const seconds = (now.atMs - before.atMs) / 1000
  return live.servers.map(({ id, url, state, exchanges, failures, connections }) => {
    const old = before.servers.get(`${name} ${id}`)
    // After a restart of the proxy it counts from 0 on.
    const isKnown = old !== undefined && exchanges >= old.exchanges && seconds > 0
    const count = isKnown ? exchanges - old.exchanges : 0
    const failed = isKnown ? Math.max(0, failures - old.failures) : 0
    const perSecond = isKnown ? Math.round((count / seconds) * 100) / 100 : null
    const errorRatio = count > 0 ? Math.round((failed / count) * 10_000) / 10_000 : null
    return { upstream: name, server: id, url, state, active: connections.active, perSecond, errorRatio }
  })
}

const ROUTE_COLUMNS = [
  { title: 'ROUTE', least: 16 },
  { title: 'SIDE', least: 10 },
  { title: 'PERCENT', right: true },
  { title: 'RATE', right: true },
  { title: 'ERRORS', right: true },
  { title: 'P50', right: true },
  { title: 'P95', right: true },
] as const

const SERVER_COLUMNS = [
  { title: 'UPSTREAM', least: 12 },
  { title: 'SERVER', least: 16 },
  { title: 'STATE' },
  { title: 'IN FLIGHT', right: true },
  { title: 'RATE', right: true },
  { title: 'ERRORS', right: true },
] as const

function lookText({ routes, servers }: Look, io: Io): string {
  const layout = { colour: io.colours.out, width: io.terminal()?.columns ?? null }
  const rows = routes.map(({ route, side, percent, perSecond, errorRatio, p50Ms, p95Ms }) => {
    const name = side !== null ? '' : (route ?? '(no route)')
    const figures = [
      said(percent, (value) => `${value} %`),
      rateText(perSecond),
      percentText(errorRatio),
      msText(p50Ms),
      msText(p95Ms),
    ]
    return [name, side ?? '', ...(side === null ? figures : ['', ...figures.slice(1)])].map(printable)
  })
  const serverLines = servers.map(({ upstream, server, state, active, perSecond, errorRatio }, at) => {
    const name = servers[at - 1]?.upstream === upstream ? '' : upstream
    return [name, server, state, String(active), said(perSecond, rateText), percentText(errorRatio)].map(printable)
  })
  return `${columns(ROUTE_COLUMNS, rows, layout)}\n${columns(SERVER_COLUMNS, serverLines, layout)}`
}

/** `12.5/s`: as many digits as tell something. */
export function rateText(perSecond: number): string {
  if (perSecond >= 100) return `${Math.round(perSecond)}/s`
  return `${perSecond >= 1 ? Math.round(perSecond * 10) / 10 : Number(perSecond.toPrecision(2))}/s`
}

/** `1.25 %`. */
export function percentText(ratio: number | null | undefined): string {
  return said(ratio, (value) => `${Math.round(value * 10_000) / 100} %`)
}

/** `48 ms`, `1.2 s`. */
export function msText(ms: number | null | undefined): string {
  return said(ms, (value) => (value >= 1000 ? `${Number((value / 1000).toPrecision(3))} s` : `${value} ms`))
}
