/**
 * The one schema of routes.yaml: validation, types, the editors' JSON Schema and the manual's key lists come from it.
 */
import { z } from 'zod'
import { flawOfHostName, parseHost } from '../patterns/host.ts'
import { flawOfOrigin } from '../patterns/origin.ts'
import { PREDICATES } from '../patterns/predicates.ts'
import { STICKY_FORMS } from '../patterns/sticky.ts'
import { checked, name, object, TOKEN } from '../values/schema-blocks.ts'
import {
  DURATION_PATTERN,
  EXPECTED_DURATION,
  EXPECTED_SIZE,
  type Flaw,
  flawOfDuration,
  flawOfPercent,
  flawOfSize,
  parseDurationMs,
  SIZE_PATTERN,
} from '../values/units.ts'

const duration = checked(
  z.string({ error: () => EXPECTED_DURATION }).meta({ pattern: DURATION_PATTERN.source }),
  flawOfDuration,
)
const size = checked(z.string({ error: () => EXPECTED_SIZE }).meta({ pattern: SIZE_PATTERN.source }), flawOfSize)
const origin = checked(z.string(), flawOfOrigin)
const count = (max: number) => z.int().min(1).max(max)

const server = z.union([
  origin,
  object({
    url: origin,
    weight: count(1_000).optional().describe('Relative share of the exchanges of the upstream. Default 1.'),
    id: name('an id').optional().describe('Unique in the upstream. Default: host:port.'),
  }),
])

/** A probe a millisecond is nobody's wish. */
const positive = checked(duration, (text) =>
  (parseDurationMs(text) ?? 0) < 10 ? { message: 'expected at least 10ms' } : null,
)
const status = z.int().min(200).max(599)

const health = object({
  path: checked(z.string(), flawOfProbePath),
  every: positive.optional().describe('From one probe of a server to the next. Default 5s.'),
  jitter: z.number().min(0).max(50).optional().describe('Percent of `every` by which that differs. Default 10.'),
  timeout: positive.optional().describe('Until a probe counts as failed. Default 1s.'),
  status: z
    .union([status, z.array(status).min(1)])
    .optional()
    .describe('Of a good answer: one or a list. Default: any from 200 to 299.'),
  body: z.string().min(1).optional().describe('A text that the body of a good answer contains.'),
  start: z.enum(['healthy', 'unhealthy']).optional().describe('Before the first probes have told. Default healthy.'),
  up: count(100).optional().describe('Good probes in a row until healthy. Default 2.'),
  down: count(100).optional().describe('Failed probes in a row until unhealthy. Default 3.'),
})

const ejection = object({
  failures: count(1_000).optional().describe('Exchanges in a row that broke. Default 5.'),
  errors: count(10_000).optional().describe('Answers in a row of class 5, but 501 and 505. Default 20.'),
  pause: duration.optional().describe('Until a probe; twice as long each further time in a row. Default 10s.'),
  maxPause: duration.optional().describe('No pause is longer. Default 5m.'),
})

const queue = object({
  size: z.int().min(0).max(10_000).optional().describe('Requests that wait beyond maxConcurrent. Default 100.'),
  timeout: duration.optional().describe('For so long; then 503. Default 1s.'),
})

const upstream = object({
  servers: z.array(server).describe('Origins, or {url, weight, id}. Empty where instances register themselves.'),
  timeouts: object({
    connect: duration.optional().describe('Until a connection stands. Default 1s.'),
    headers: duration.optional().describe('From the last byte of the request to the head of the answer. Default 1m.'),
    idle: duration.optional().describe('No byte in either direction. Default 1m.'),
    total: duration
      .optional()
      .describe('From the request to the head of its answer, all attempts together. Default: no limit.'),
  }).optional(),
  host: checked(z.string(), flawOfHostSetting)
    .optional()
    .describe('preserve (default): as received; upstream: the name of the server; or a literal name.'),
  publicOrigin: origin.optional().describe('The origin that clients see: Location values are mapped to it.'),
  lenient: z
    .boolean()
    .optional()
    .describe('Take more answers that break the rules of HTTP but can be read in one way only. Default false.'),
  via: z.boolean().optional().describe('Requests carry Via. Default false.'),
  tls: object({
    ca: z
      .string()
      .min(1)
      .optional()
      .describe('PEM file of the authorities to trust. Paths begin at the folder of the table.'),
    cert: z.string().min(1).optional().describe('PEM file of the client certificate.'),
    key: z.string().min(1).optional().describe('PEM file of its key.'),
    serverName: checked(z.string(), flawOfHostName).optional().describe('Host name for SNI and the certificate check.'),
    verify: z.boolean().optional().describe('False accepts any certificate. Default true.'),
  }).optional(),
  maxIdleConnections: z
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .describe('Kept-alive idle connections per server. Default 256.'),
  health: health.optional(),
  ejection: z
    .union([z.literal(false), ejection])
    .optional()
    .describe('When a server that fails is left out for a while. Default: as ejection: {} says; false: never.'),
  slowStart: duration.optional().describe('A server that comes grows into its share over this time. Default: at once.'),
  maxConcurrent: count(1_000_000).optional().describe('Exchanges under way at once. Default: any number.'),
  queue: queue.optional(),
})

const fallback = object({
  on: z
    .array(z.union([z.enum(['connect', 'timeout']), z.int().min(400).max(599)]))
    .min(1)
    .optional()
    .describe('Default: connect, timeout, 502, 503, 504.'),
  methods: z.enum(['safe', 'idempotent', 'all']).optional().describe('Default safe: GET, HEAD and OPTIONS.'),
  maxReplay: size.optional().describe('Bodies up to this size are kept for the replay. Default 64KiB.'),
})

const breaker = object({
  failureRatio: z.number().min(0.01).max(1).optional().describe('Failed exchanges as a share of all. Default 0.5.'),
  minRequests: count(100_000).optional().describe('Fewer exchanges in the window say nothing. Default 20.'),
  window: duration.optional().describe('So far back is looked. Default 10s.'),
  pause: duration.optional().describe('It stays open this long before a probe. Default 10s.'),
  probes: count(100).optional().describe('Probes in a row, one at a time, until it closes. Default 3.'),
})

const fieldName = checked(z.string(), flawOfFieldName)

const cacheKey = object({
  query: object({
    keep: z.array(z.string()).optional().describe('Only these parameters count.'),
    drop: z.array(z.string()).optional().describe('All parameters count but these.'),
  }).optional(),
  anyQueryOrder: z.boolean().optional().describe('Parameters may stand in any order. Default false.'),
  headers: z.array(fieldName).optional().describe('Request fields that count.'),
  cookies: z.array(checked(z.string(), flawOfCookieName)).optional().describe('Cookies that count.'),
})

const cache = object({
  mode: z.enum(['rfc9111', 'forced']).optional().describe('Default rfc9111: the answer is obeyed.'),
  force: z
    .array(z.enum(['no-store', 'private', 'authorization']))
    .min(1)
    .optional()
    .describe('What mode forced overrides besides lifetimes. Default: nothing.'),
  setCookie: z
    .enum(['refuse', 'store', 'strip'])
    .optional()
    .describe('Answers with Set-Cookie: not stored (default), stored with an explicit lifetime, or stored without it.'),
  errors: z
    .enum(['safe', 'explicit'])
    .optional()
    .describe(
      'Errors: only 404, 410, 414 and 451 are stored (default), or others too with a lifetime of their own (`explicit`).',
    ),
  storePost: z
    .boolean()
    .optional()
    .describe('Store the answer to a POST for later GETs where it says so (RFC 9110 section 9.3.3). Default false.'),
  ttl: duration.optional().describe('Freshness where the answer gives none of its own.'),
  staleWhileRevalidate: duration
    .optional()
    .describe('A stale answer is served this long while it is refreshed, where the answer does not say.'),
  staleIfError: duration
    .optional()
    .describe('A stale answer stands in for an error this long, where the answer does not say.'),
  keep: duration.optional().describe('Stale answers are kept this long for validation and failures. Default 1h.'),
  key: cacheKey.optional(),
  maxBody: size.optional().describe('Bodies above this size pass and are not stored. Default 1MiB.'),
  shareAcrossUpstreams: z.boolean().optional().describe('Let both sides answer for each other. Default false.'),
  tags: fieldName.optional().describe('The answer field that carries tags.'),
})

const stickyText = z.string().describe(`One of ${STICKY_FORMS.join(', ')}.`)

const match = checked(
  object({
    path: PREDICATES.path.schema.optional(),
    hosts: PREDICATES.hosts.schema.optional(),
    methods: PREDICATES.methods.schema.optional(),
    headers: PREDICATES.headers.schema.optional(),
    query: PREDICATES.query.schema.optional(),
    cookies: PREDICATES.cookies.schema.optional(),
  }),
  (keys) =>
    Object.keys(keys).length > 0
      ? null
      : { message: 'expected at least one condition', hint: 'write path: /* for every request' },
)

const route = object({
  id: name('an id'),
  match,
  from: z.string().optional().describe("The upstream that has the rest. Default: the table's default."),
  to: z.string().describe('The upstream that gets the share.'),
  percent: checked(z.number().meta({ minimum: 0, maximum: 100 }), flawOfPercent)
    .optional()
    .describe('0 to 100, up to 4 decimals. Default 0.'),
  group: name('a group').optional().describe('Routes of one group move the same people together.'),
  sticky: z
    .union([stickyText, z.array(stickyText).min(1)])
    .optional()
    .describe('The first key present is drawn on. Default request.'),
  fallback: fallback.optional(),
  breaker: z
    .union([z.literal(false), breaker])
    .optional()
    .describe('When the share goes to from at once. Default: as breaker: {} says where the route has a fallback.'),
  cache: cache.optional(),
  ambiguousPaths: z
    .enum(['default', 'allow'])
    .optional()
    .describe('Whether paths with more than one reading may match. Default: no.'),
})

const table = object({
  version: z.literal(1),
  upstreams: z.record(name('a name'), upstream),
  default: z.string().describe('The upstream for whatever no route claims.'),
  routes: z.array(route).optional(),
})

/** The schema of a whole routes.yaml. */
export const tableSchema = table

/** What routes.yaml says, once it is valid. */
export type TableDocument = z.output<typeof table>
export type UpstreamDocument = z.output<typeof upstream>
export type RouteDocument = z.output<typeof route>

/** The JSON Schema (draft 2020-12) of routes.yaml, for editors. */
export function routesJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(table, { io: 'input', target: 'draft-2020-12' }) as Record<string, unknown>
}

function flawOfProbePath(text: string): Flaw | null {
  return /^\/[\x21-\x7e]*$/.test(text) && !text.includes('#')
    ? null
    : { message: 'expected a path such as /healthz, percent-encoded as it is sent' }
}

function flawOfFieldName(text: string): Flaw | null {
  return TOKEN.test(text) ? null : { message: `${JSON.stringify(text)} is no field name` }
}

function flawOfCookieName(text: string): Flaw | null {
  return TOKEN.test(text) ? null : { message: `${JSON.stringify(text)} is no cookie name` }
}

/** `preserve`, `upstream` or a name; a single label that nearly spells one of the words is taken for a slip. */
function flawOfHostSetting(text: string): Flaw | null {
  if (text === 'preserve' || text === 'upstream') return null
  const host = parseHost(text)
  if ('message' in host) return host
  return host.wildcard ? { message: 'a literal Host has no wildcard' } : null
}
