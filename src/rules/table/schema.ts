/**
 * The schema of routes.yaml: the source of validation, types, the JSON Schema for editors and the key lists of the manual.
 */
import { z } from 'zod'
import { flawOfEdited } from '../http/field-edits.ts'
import { flawOfHostName, parseHost } from '../patterns/host.ts'
import { flawOfOrigin, flawOfServerUrl } from '../patterns/origin.ts'
import { flawOfPattern } from '../patterns/path.ts'
import { anyOfSchema, PREDICATES } from '../patterns/predicates.ts'
import { STICKY_FORMS } from '../patterns/sticky.ts'
import { flawOfPlan } from '../ramp/plan.ts'
import { flawOfLink, flawOfRetirement, flawOfTime } from '../retirement/retirement.ts'
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
  parseSizeBytes,
  SIZE_PATTERN,
} from '../values/units.ts'

const duration = checked(
  z.string({ error: () => EXPECTED_DURATION }).meta({ pattern: DURATION_PATTERN.source }),
  flawOfDuration,
)
const size = checked(z.string({ error: () => EXPECTED_SIZE }).meta({ pattern: SIZE_PATTERN.source }), flawOfSize)
const origin = checked(z.string(), flawOfOrigin)
const serverUrl = checked(z.string(), flawOfServerUrl)
const count = (max: number) => z.int().min(1).max(max)

const server = z
  .union([
    serverUrl,
    object({
      url: serverUrl,
      weight: count(1_000).optional().describe("Relative share of the upstream's requests. Default 1."),
      id: name('id').optional().describe('Unique in the upstream. Default: host:port, or unix:/path.'),
    }),
  ])
  .meta({ id: 'TableServer' })

/** A lower limit against probe storms. */
const positive = checked(duration, (text) =>
  (parseDurationMs(text) ?? 0) < 10 ? { message: `invalid duration ${text}: must be at least 10ms` } : null,
)
/** Timers of 0 would fire before anything could come. */
const timeout = checked(duration, (text) =>
  parseDurationMs(text) === 0 ? { message: `invalid duration ${text}: must be at least 1ms` } : null,
)
const status = z.int().min(200).max(599)
const upgraded = timeout.optional().describe('Without a byte in either direction after an upgrade. Default: `idle`.')

/** In the words of node:tls. */
const tlsVersion = z.enum(['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'])

/** A request body is held whole until its response has come. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024

/** A head is held whole until it has been read. */
const MAX_HEADER_BYTES = 1024 * 1024

const health = object({
  path: checked(z.string(), flawOfProbePath),
  every: positive.optional().describe('Interval between probes of a server. Default 5s.'),
  jitter: z.number().min(0).max(50).optional().describe('Random variation of `every`, in percent. Default 10.'),
  timeout: positive.optional().describe('Probe timeout. Default 1s.'),
  status: z
    .union([status, z.array(status).min(1)])
    .optional()
    .describe('Expected status, or a list. Default: 200 to 299.'),
  body: z.string().min(1).optional().describe('String that the response body must contain.'),
  start: z.enum(['healthy', 'unhealthy']).optional().describe('State before the first probes. Default healthy.'),
  up: count(100).optional().describe('Consecutive successful probes until healthy. Default 2.'),
  down: count(100).optional().describe('Consecutive failed probes until unhealthy. Default 3.'),
}).meta({ id: 'HealthCheck' })

const ejection = object({
  failures: count(1_000).optional().describe('Consecutive connection, timeout or protocol failures. Default 5.'),
  errors: count(10_000).optional().describe('Consecutive 5xx responses, except 501 and 505. Default 20.'),
  pause: duration.optional().describe('Time until a trial request; doubles on each consecutive ejection. Default 10s.'),
  maxPause: duration.optional().describe('Upper limit of the pause. Default 5m.'),
}).meta({ id: 'Ejection' })

const queue = object({
  size: z.int().min(0).max(10_000).optional().describe('Maximum number of queued requests. Default 100.'),
  timeout: duration.optional().describe('Maximum wait, then 503. Default 1s.'),
}).meta({ id: 'Queue' })

/** How an application reads paths. */
const readingShape = {
  caseInsensitivePaths: z
    .boolean()
    .optional()
    .describe('Paths are compared without regard to case, as IIS does. Default false.'),
  pathParameters: z
    .enum(['exact', 'ignore'])
    .optional()
    .describe('ignore: ;name=value at the end of a segment (;jsessionid=1) does not count. Default exact.'),
  trailingSlash: z.enum(['exact', 'ignore']).optional().describe('ignore: /a/ is /a. Default exact.'),
}

/** Header fields that are set or removed. */
const fieldEdits = (of: 'request' | 'response') => {
  const named = (isSet: boolean) =>
    checked(z.string(), (text) => flawOfFieldName(text) ?? flawOfEdited(text, of, isSet))
  return object({
    set: z
      .record(named(true), z.string())
      .optional()
      .describe('Headers by name, with placeholders such as {client.ip}. Lines of that name that came are removed.'),
    remove: z.array(named(false)).optional().describe('Names of headers that are removed.'),
  })
}

const cookieAttributes = object({
  domain: checked(z.string(), (text) => (text === 'none' ? null : flawOfHostName(text)))
    .optional()
    .describe('Their Domain; none removes it.'),
  path: checked(z.string(), flawOfCookiePath).optional().describe('Their Path.'),
  secure: z.boolean().optional().describe('true adds Secure, false removes it.'),
  sameSite: z.enum(['strict', 'lax', 'none']).optional().describe('Their SameSite.'),
}).meta({ id: 'UpstreamCookies' })

const upstream = object({
  servers: z
    .array(server)
    .describe('Origins or unix:/path, or {url, weight, id}. Empty where instances register themselves.'),
  timeouts: object({
    connect: timeout.optional().describe('To establish a connection. Default 1s.'),
    headers: timeout.optional().describe('From the last byte of the request to the response headers. Default 1m.'),
    idle: timeout.optional().describe('Without a byte in either direction. Default 1m.'),
    upgraded,
    total: timeout
      .optional()
      .describe('From the request to the response headers, over all attempts. Default: no limit.'),
  })
    .meta({ id: 'Timeouts' })
    .optional(),
  host: checked(z.string(), flawOfHostSetting)
    .optional()
    .describe('Host header: preserve (default) as received, upstream for the name of the server, or a literal name.'),
  publicOrigin: origin
    .optional()
    .describe("The public origin: the upstream's own origins in response headers are mapped to it."),
  headers: fieldEdits('request').optional().describe('Request headers that are set or removed.'),
  cookies: cookieAttributes.optional().describe('Attributes of the cookies that the upstream sets.'),
  protocol: z
    .enum(['http1', 'h2', 'h2c'])
    .optional()
    .describe('What servers speak: http1 (default); h2, HTTP/2 over TLS; h2c, HTTP/2 without TLS.'),
  lenient: z.boolean().optional().describe('Accept more invalid but unambiguous responses. Default false.'),
  ...readingShape,
  via: z.boolean().optional().describe('Add Via to requests. Default false.'),
  tls: object({
    ca: z
      .string()
      .min(1)
      .optional()
      .describe('PEM file of the CA certificates to trust. Paths are relative to the folder of the table.'),
    cert: z.string().min(1).optional().describe('PEM file of the client certificate.'),
    key: z.string().min(1).optional().describe('PEM file of the private key.'),
    serverName: checked(z.string(), flawOfHostName)
      .optional()
      .describe('Host name for SNI and certificate verification.'),
    verify: z.boolean().optional().describe('false accepts any certificate. Default true.'),
    minVersion: tlsVersion.optional().describe('The lowest version of TLS. Default TLSv1.2.'),
    maxVersion: tlsVersion.optional().describe('The highest version of TLS. Default TLSv1.3.'),
    ciphers: z.string().min(1).optional().describe('Ciphers in the syntax of OpenSSL. Default: those of Node.js.'),
  })
    .meta({ id: 'UpstreamTls' })
    .optional(),
  affinity: checked(z.string(), flawOfAffinity)
    .optional()
    .describe('Keep a client on one server: cookie, cookie:NAME (with the session that NAME begins), or ip.'),
  maxIdleConnections: z
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .describe('Idle keep-alive connections per server. Default 256.'),
  keepAlive: object({
    idle: duration.optional().describe('Idle connections are closed after this. Default 4s.'),
    fresh: z
      .enum(['unsafe'])
      .optional()
      .describe('unsafe: POST, PUT, PATCH, DELETE and other unsafe requests never use an idle connection.'),
  }).optional(),
  bufferRequests: checked(size, (text) =>
    (parseSizeBytes(text) ?? 0) > MAX_BUFFERED_BYTES
      ? { message: `invalid size ${text}: must be at most 16MiB` }
      : null,
  )
    .optional()
    .describe(
      'Chunked request bodies are read whole and sent with Content-Length; larger ones get 413. At most 16MiB. Default: sent as they come.',
    ),
  maxHeaderSize: checked(size, (text) =>
    (parseSizeBytes(text) ?? 0) > MAX_HEADER_BYTES ? { message: `invalid size ${text}: must be at most 1MiB` } : null,
  )
    .optional()
    .describe('Maximum size of response headers, and of trailers. Default 64KiB, at most 1MiB.'),
  maxHeaderFields: count(10_000).optional().describe('Maximum number of response headers. Default 1000.'),
  health: health.optional(),
  ejection: z
    .union([z.literal(false), ejection])
    .optional()
    .describe('When a failing server is ejected. Default: as with ejection: {}; false: never.'),
  slowStart: duration.optional().describe('Time over which a new server ramps up to its full share. Default: none.'),
  maxConcurrent: count(1_000_000).optional().describe('Maximum number of requests in flight. Default: no limit.'),
  queue: queue.optional(),
}).meta({ id: 'Upstream' })

const fallback = object({
  on: z
    .array(z.union([z.enum(['connect', 'timeout']), z.int().min(400).max(599)]))
    .min(1)
    .optional()
    .describe('Failures and statuses that trigger it. Default: connect, timeout, 502, 503, 504.'),
  methods: z
    .enum(['safe', 'idempotent', 'all'])
    .optional()
    .describe('Methods that may fall back. Default safe: GET, HEAD and OPTIONS.'),
  maxReplay: size.optional().describe('Request bodies up to this size are buffered for the replay. Default 64KiB.'),
}).meta({ id: 'Fallback' })

const breaker = object({
  failureRatio: z.number().min(0.01).max(1).optional().describe('Ratio of failed requests. Default 0.5.'),
  minRequests: count(100_000).optional().describe('Minimum number of requests in the window. Default 20.'),
  window: duration.optional().describe('Sliding window. Default 10s.'),
  pause: duration.optional().describe('Time it stays open before a probe. Default 10s.'),
  probes: count(100).optional().describe('Consecutive successful probes, one at a time, until it closes. Default 3.'),
}).meta({ id: 'Breaker' })

const fieldName = checked(z.string(), flawOfFieldName)

const cacheKey = object({
  query: object({
    keep: z
      .array(z.string())
      .optional()
      .describe('Only these parameters are part of the key, and are sent to the upstream.'),
    drop: z.array(z.string()).optional().describe('All parameters except these are part of the key.'),
  }).optional(),
  anyQueryOrder: z
    .boolean()
    .optional()
    .describe('Ignore the order of parameters, and send them in one order. Default false.'),
  headers: z.array(fieldName).optional().describe('Request headers that are part of the key.'),
  cookies: z.array(checked(z.string(), flawOfCookieName)).optional().describe('Cookies that are part of the key.'),
}).meta({ id: 'CacheKey' })

const cache = object({
  mode: z.enum(['rfc9111', 'forced']).optional().describe('rfc9111 (default) obeys the response.'),
  force: z
    .array(z.enum(['no-store', 'private', 'authorization']))
    .min(1)
    .optional()
    .describe('What mode: forced overrides besides lifetimes. Default: nothing.'),
  setCookie: z
    .enum(['refuse', 'store', 'strip'])
    .optional()
    .describe(
      'Responses with Set-Cookie: not stored (refuse, default), stored if the lifetime is explicit (store), or stored without the header (strip).',
    ),
  errors: z
    .enum(['safe', 'explicit'])
    .optional()
    .describe(
      'Error responses: only 404, 410, 414 and 451 are stored (safe, default), or also others with an explicit lifetime (explicit).',
    ),
  storePost: z
    .boolean()
    .optional()
    .describe('Store the response to a POST for later GETs if it allows that (RFC 9110 section 9.3.3). Default false.'),
  ttl: duration.optional().describe('Freshness lifetime if the response has none.'),
  staleWhileRevalidate: duration
    .optional()
    .describe('How long a stale response is served while it is revalidated, unless the response says otherwise.'),
  staleIfError: duration
    .optional()
    .describe('How long a stale response is served instead of an error, unless the response says otherwise.'),
  keep: duration
    .optional()
    .describe('How long stale responses are kept for revalidation and upstream failures. Default 1h.'),
  key: cacheKey.optional(),
  normalize: z
    .array(z.enum(['accept-encoding', 'accept-language']))
    .optional()
    .describe('Request headers that are sent and compared in a normal form: order, case, weights. Default none.'),
  collapse: object({
    wait: duration
      .optional()
      .describe(
        'How long a request waits for the upstream request of another one, then it makes its own. 0s: requests are not collapsed. Default 5s.',
      ),
  })
    .optional()
    .describe('Request collapsing: concurrent misses share one upstream request.'),
  maxBody: size.optional().describe('Larger response bodies are passed through and not stored. Default 1MiB.'),
  shareAcrossUpstreams: z
    .boolean()
    .optional()
    .describe('Share cached responses between both upstreams. Default false.'),
  tags: fieldName.optional().describe('Response header with the cache tags.'),
}).meta({ id: 'Cache' })

const stickyText = z.string().describe(`One of ${STICKY_FORMS.join(', ')}.`)
const stickySource = object({
  source: stickyText,
  ignore: z.array(z.string().max(100)).min(1).max(100).describe('Values that are no key, such as \'""\' or undefined.'),
})
const stickyEntry = z.union([stickyText, stickySource])

/** The error for an empty `match`. */
export const NO_CONDITION = 'expected at least one condition'

const match = checked(
  object({
    path: PREDICATES.path.schema.optional(),
    paths: PREDICATES.paths.schema.optional(),
    hosts: PREDICATES.hosts.schema.optional(),
    methods: PREDICATES.methods.schema.optional(),
    headers: PREDICATES.headers.schema.optional(),
    query: PREDICATES.query.schema.optional(),
    cookies: PREDICATES.cookies.schema.optional(),
    clients: PREDICATES.clients.schema.optional(),
    anyOf: anyOfSchema.optional(),
  }),
  (keys) =>
    Object.keys(keys).length > 0 ? null : { message: NO_CONDITION, hint: 'write path: /* to match every request' },
).meta({ id: 'Match' })

/** Two of them are compared at a time, decoded. */
const MAX_COMPARED_BYTES = 1024 * 1024

/** Headers are compared on the thread that serves, and each pointer is looked at for each response. */
const MAX_COMPARED_HEADERS = 64
const MAX_POINTERS = 256
const MAX_POINTER_LENGTH = 512

const pointer = checked(z.string().max(MAX_POINTER_LENGTH), flawOfPointer)
const bodyPointer = checked(z.string().max(MAX_POINTER_LENGTH), flawOfBodyPointer)
const bodyPointers = z.array(bodyPointer).min(1).max(MAX_POINTERS)

const time = checked(z.string(), flawOfTime)

const shadow = object({
  percent: checked(z.number().meta({ minimum: 0, maximum: 100 }), flawOfPercent).describe(
    'Percent of the GET and HEAD requests that are copied to the other side, up to 4 decimals.',
  ),
  sides: z
    .enum(['from', 'to', 'both'])
    .optional()
    .describe('Which requests are copied: those answered by `from` (default), by `to`, or both.'),
  match: match.optional().describe('Further conditions: only these requests are copied.'),
  maxBody: checked(size, (text) =>
    (parseSizeBytes(text) ?? 0) > MAX_COMPARED_BYTES ? { message: `invalid size ${text}: must be at most 1MiB` } : null,
  )
    .optional()
    .describe('Of larger bodies only status and headers are compared. Default 64KiB, at most 1MiB.'),
  noise: z
    .number()
    .min(0)
    .max(100)
    .optional()
    .describe(
      'Percent of the comparisons for which `from` is asked twice, beside the first 20 differences at a field, to learn what differs anyway. Default 10.',
    ),
  samples: z
    .enum(['hashes', 'values'])
    .optional()
    .describe('What samples keep of values: type, length and a keyed hash (default), or the values.'),
  redact: bodyPointers
    .optional()
    .describe('JSON pointers whose values, with the keys below them, no sample and no path shows.'),
  since: time
    .optional()
    .describe(
      'When comparisons began to count. Changing it forgets those before, such as after a fault of the new side is mended. `banyan shadow reset` sets it to now.',
    ),
  compare: object({
    headers: z
      .array(fieldName)
      .max(MAX_COMPARED_HEADERS)
      .optional()
      .describe('Response headers that are compared, at most 64. Default: Content-Type, Location, Cache-Control.'),
    ignore: z
      .array(pointer)
      .min(1)
      .max(MAX_POINTERS)
      .optional()
      .describe(
        'JSON pointers (* for any index or key), status, body, charset, header:NAME or cookie:NAME that may differ.',
      ),
    unordered: bodyPointers.optional().describe('JSON pointers of lists whose order does not count.'),
    tolerance: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe('Numbers that differ by no more than this fraction are equal. Default 0.'),
  }).optional(),
})

const rampStep = z.union([
  checked(z.number().meta({ exclusiveMinimum: 0, maximum: 100 }), (percent) =>
    percent > 0 ? flawOfPercent(percent) : { message: `invalid step ${percent}: must be above 0` },
  ),
  z.literal('all'),
])

const guard = object({
  alpha: z
    .number()
    .min(0.0001)
    .max(0.2)
    .optional()
    .describe('Chance that a version as good as the old one is ever taken back. Default 0.01.'),
  minKeys: count(1_000_000)
    .optional()
    .describe('Different keys of the new side without which no step is passed. Default 50.'),
  tolerate: object({
    ratio: z.number().min(1).max(100).optional().describe('How many times as often `to` may fail. Default 1.5.'),
    harm: z
      .number()
      .min(0.01)
      .max(100)
      .optional()
      .describe('Percentage points by which the next step may make requests fail more often. Default 0.5.'),
    latency: z
      .number()
      .min(1)
      .max(100)
      .optional()
      .describe('How many times as slow the 95th percentile of `to` may be. Default 1.25.'),
    mismatch: z
      .number()
      .min(0.001)
      .max(99)
      .optional()
      .describe('Percent of the comparisons that may be mismatches. Default 0.1.'),
  }).optional(),
  hardStop: object({
    percent: z
      .number()
      .min(1)
      .max(100)
      .optional()
      .describe('Percent of the newest keys of `to` that fail. Default 20.'),
    of: count(1000).optional().describe('How many of the newest keys are looked at. Default 50.'),
  }).optional(),
})

/** `ramp` of a route, and the plan that a ramp can be started with. */
export const rampPlan = checked(
  object({
    steps: z
      .array(rampStep)
      .min(1)
      .max(100)
      .optional()
      .describe('Percents in ascending order; `all` comes last. Default 1, 5, 25, 50, 100, all.'),
    hold: duration.optional().describe('How long each step is held at least. Default 10m.'),
    approve: z.array(rampStep).min(1).max(100).optional().describe('Steps that wait for `banyan ramp approve`.'),
    window: z
      .string()
      .max(200)
      .optional()
      .describe('When steps may be taken: `Mon-Fri 09:00-17:00 Europe/Berlin`. Default: always.'),
    requires: z
      .array(z.string().max(400))
      .min(1)
      .max(20)
      .optional()
      .describe('What must be met before a step: `comparisons 1000`, or `ROUTE at PERCENT`.'),
    holdback: checked(z.number().meta({ minimum: 0, exclusiveMaximum: 100 }), (percent) =>
      percent < 100 ? flawOfPercent(percent) : { message: `invalid holdback ${percent}: must be below 100` },
    )
      .optional()
      .describe('Percent that stays on `from` before the last steps until they are approved. Default 0.'),
    guard: guard.optional(),
  }),
  flawOfPlan,
)
  .meta({ id: 'Ramp' })
  .describe('A plan that raises percent step by step while the evidence allows it. `banyan ramp start` starts it.')

/** Each is looked at for each request. */
const MAX_BROWNOUTS = 50

const brownout = object({
  at: time.describe('When it begins: 2027-03-01T09:00:00Z.'),
  for: timeout.describe('How long it lasts.'),
  percent: checked(z.number().meta({ exclusiveMinimum: 0, maximum: 100 }), (percent) =>
    percent > 0 ? flawOfPercent(percent) : { message: `invalid percent ${percent}: must be above 0` },
  )
    .optional()
    .describe('Percent of the requests that are refused. Default 100.'),
  status: z
    .union([z.literal(410), z.literal(503)])
    .optional()
    .describe('Of the responses, with Retry-After. Default 503.'),
})

const retire = checked(
  object({
    status: z
      .int()
      .min(400)
      .max(599)
      .optional()
      .describe('Of the responses once the endpoint has ended: from `sunset` on, or at once without it. Default 410.'),
    deprecated: time
      .optional()
      .describe('Since when it should not be used any more: the Deprecation header (RFC 9745).'),
    sunset: time.optional().describe('When it ends: the Sunset header (RFC 8594).'),
    link: checked(z.string(), flawOfLink).optional().describe('Where that is explained: the Link header.'),
    brownouts: z
      .array(brownout)
      .min(1)
      .max(MAX_BROWNOUTS)
      .optional()
      .describe('Times in which requests are refused already, so that whoever still calls notices.'),
  }),
  flawOfRetirement,
)
  .meta({ id: 'Retirement' })
  .describe('The endpoint ends.')

const route = object({
  id: name('id'),
  match,
  from: z.string().optional().describe("The upstream for the rest of the requests. Default: the table's default."),
  to: z
    .union([z.string(), z.record(z.string(), z.int().min(0).max(1000))])
    .describe(
      'The upstream that gets `percent` of the requests; or several with their weights: { gtin: 60, gtin-next: 40 }.',
    ),
  percent: checked(z.number().meta({ minimum: 0, maximum: 100 }), flawOfPercent)
    .optional()
    .describe('0 to 100, up to 4 decimals. Default 0.'),
  noKey: z
    .enum(['from', 'random', 'to'])
    .optional()
    .describe(
      'Where requests without a sticky key go: from (default), random (each is drawn by itself) or to. At 100 all go to `to`, unless noKey: from is written.',
    ),
  group: name('group').optional().describe('Routes of one group send the same clients to `to`.'),
  sticky: z
    .union([stickyText, stickySource, z.array(stickyEntry).min(1)])
    .optional()
    .describe('The first key that is present decides the side. Default request.'),
  tellSide: z
    .enum(['header', 'cookie'])
    .optional()
    .describe('Tell clients which side has responded: in a header, or in a cookie that scripts can read.'),
  pinAfterWrite: checked(duration, flawOfPin)
    .optional()
    .describe(
      'How long reads of a key stay on the side that took its last write, in all routes of the group. At most 1h.',
    ),
  fallback: fallback.optional(),
  breaker: z
    .union([z.literal(false), breaker])
    .optional()
    .describe('When all requests go to `from`. Default: as with breaker: {} if the route has a fallback, else none.'),
  timeouts: object({
    headers: timeout.optional().describe('From the last byte of the request to the response headers.'),
    idle: timeout.optional().describe('Without a byte in either direction.'),
    upgraded,
  })
    .meta({ id: 'RouteTimeouts' })
    .optional()
    .describe("For the requests of this route, whichever side responds. Default: the upstream's."),
  rewrite: object({
    path: checked(z.string(), flawOfPattern)
      .optional()
      .describe('The path for `to`, with the :name parameters of match.path, and * for its rest.'),
    query: object({
      set: z.record(z.string().min(1), z.string()).optional().describe('Parameters by name, with placeholders.'),
      remove: z.array(z.string().min(1)).optional().describe('Names of parameters that are removed.'),
    }).optional(),
    headers: fieldEdits('request').optional(),
  })
    .meta({ id: 'Rewrite' })
    .optional()
    .describe('What `to` gets; `from`, and so the fallback, gets the request as it came.'),
  answer: object({ headers: fieldEdits('response').optional() })
    .optional()
    .describe('What clients get of the responses of `to`.'),
  cache: cache.optional(),
  shadow: shadow.optional(),
  ramp: rampPlan.optional(),
  retire: retire.optional(),
  priority: z
    .int()
    .min(-1000)
    .max(1000)
    .optional()
    .describe('Routes of a higher priority are asked first, before host and path count. Default 0.'),
  ...readingShape,
  ambiguousPaths: z.enum(['default', 'allow']).optional().describe('Whether ambiguous paths may match. Default: no.'),
}).meta({ id: 'Route' })

const visitor = object({
  name: checked(z.string(), flawOfOwnCookieName).optional().describe('Default banyan_visitor.'),
  maxAge: checked(z.string(), flawOfAge).optional().describe('Lifetime, at most 400d. Default 90d.'),
  path: checked(z.string(), flawOfCookiePath).optional().describe('Default /.'),
  domain: checked(z.string(), flawOfHostName).optional().describe('Default: none, for the host of the request alone.'),
  sameSite: z.enum(['lax', 'strict', 'none']).optional().describe('Default lax.'),
  httpOnly: z.boolean().optional().describe('Hide the cookie from scripts. Default true.'),
})
  .meta({ id: 'Visitor' })
  .describe('The cookie that `sticky: visitor` gives to browsers without a key.')

const table = object({
  version: z.literal(1),
  upstreams: z.record(name('name'), upstream),
  default: z
    .union([
      z.string(),
      object({ status: z.int().min(400).max(599).describe('Of the responses to requests that match no route.') }),
    ])
    .describe('The upstream for requests that match no route, or { status: 404 } without one.'),
  visitor: visitor.optional(),
  routes: z.array(route).optional(),
})

/** The schema of a whole routes.yaml. */
export const tableSchema = table

/** The content of a valid routes.yaml. */
export type TableDocument = z.output<typeof table>
export type UpstreamDocument = z.output<typeof upstream>
export type RouteDocument = z.output<typeof route>

let keys: ReadonlySet<string> | null = null

/** All keys that a routes.yaml may have, at any place. */
export function tableKeys(): ReadonlySet<string> {
  if (keys !== null) return keys
  const found = new Set<string>()
  const collect = (schema: unknown): void => {
    if (typeof schema !== 'object' || schema === null) return
    const { properties, ...rest } = schema as { properties?: Record<string, unknown> }
    for (const key of Object.keys(properties ?? {})) found.add(key)
    for (const inner of [...Object.values(properties ?? {}), ...Object.values(rest)]) collect(inner)
  }
  collect(routesJsonSchema())
  keys = found
  return found
}

/** The JSON Schema (draft 2020-12) of routes.yaml, for editors. */
export function routesJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(table, { io: 'input', target: 'draft-2020-12' }) as Record<string, unknown>
}

function flawOfProbePath(text: string): Flaw | null {
  return /^\/[\x21-\x7e]*$/.test(text) && !text.includes('#')
    ? null
    : { message: 'expected a percent-encoded path such as /healthz' }
}

function flawOfFieldName(text: string): Flaw | null {
  return TOKEN.test(text) ? null : { message: `invalid header name ${JSON.stringify(text)}` }
}

function flawOfCookieName(text: string): Flaw | null {
  return TOKEN.test(text) ? null : { message: `invalid cookie name ${JSON.stringify(text)}` }
}

function flawOfOwnCookieName(text: string): Flaw | null {
  if (!/^__(?:host|secure)-/i.test(text)) return flawOfCookieName(text)
  return { message: `invalid cookie name ${JSON.stringify(text)}`, hint: '__Host- is added where it is possible' }
}

const MAX_PIN_MS = 3_600_000

/** Browsers shorten longer lifetimes (RFC 6265bis section 5.5). */
const MAX_AGE_MS = 400 * 86_400_000

function flawOfAge(text: string): Flaw | null {
  const ms = parseDurationMs(text, MAX_AGE_MS)
  if (ms !== null)
    return ms % 1000 === 0 && ms > 0 ? null : { message: `invalid lifetime ${text}: must be whole seconds` }
  return flawOfDuration(text)?.message.startsWith('invalid duration')
    ? { message: `invalid lifetime ${text}: must be at most 400d` }
    : flawOfDuration(text)
}

function flawOfAffinity(text: string): Flaw | null {
  if (text === 'ip' || text === 'cookie') return null
  const [kind, name = ''] = text.split(/:(.*)/s)
  if (kind === 'cookie')
    return name === '' ? { message: 'cookie: needs a name', hint: 'write cookie' } : flawOfCookieName(name)
  return { message: `invalid affinity ${JSON.stringify(text)}: must be cookie, cookie:NAME or ip` }
}

function flawOfPin(text: string): Flaw | null {
  const ms = parseDurationMs(text) ?? 0
  return ms > 0 && ms <= MAX_PIN_MS ? null : { message: `invalid duration ${text}: must be above 0 and at most 1h` }
}

function flawOfCookiePath(text: string): Flaw | null {
  return /^\/[\x21-\x3a\x3c-\x7e]*$/.test(text) ? null : { message: 'expected a path such as /shop' }
}

/** RFC 6901, with `*` for any index or key. */
function flawOfBodyPointer(text: string): Flaw | null {
  return /^(?:\/(?:[^~/]|~[01])*)+$/.test(text)
    ? null
    : { message: `invalid JSON pointer ${JSON.stringify(text)}: expected /name or /list/*/name`, ...pointerHint(text) }
}

function flawOfPointer(text: string): Flaw | null {
  if (text.startsWith('/') && !/\/\*{2,}(?:\/|$)/.test(text)) return flawOfBodyPointer(text)
  if (text.startsWith('/')) {
    const hint = `write ${text.replace(/\/\*{2,}.*$/, '') || 'body'}, which covers everything below it`
    return { message: `invalid path ${JSON.stringify(text)}: ** stands for nothing, * for one index or key`, hint }
  }
  if (text === 'header:*') return { message: 'invalid path "header:*": expected the name of one header' }
  const [kind, name, ...more] = text.split(':')
  const named = (kind === 'header' || kind === 'cookie') && more.length === 0 && TOKEN.test(name ?? '')
  if (named || ['status', 'body', 'charset'].includes(text)) return null
  const message = `invalid path ${JSON.stringify(text)}: expected /name, status, body, charset, header:NAME or cookie:NAME`
  return { message, ...pointerHint(text) }
}

/** For those who write JSONPath or a plain name. */
function pointerHint(text: string): Pick<Flaw, 'hint'> {
  if (!/^[$.]?[\w.[\]*]+$/.test(text)) return {}
  const steps = text.replace(/^\$/, '').split(/[.[\]]+/)
  return { hint: `write /${steps.filter((step) => step !== '').join('/')}` }
}

/** `preserve`, `upstream` or a literal host name. */
function flawOfHostSetting(text: string): Flaw | null {
  if (text === 'preserve' || text === 'upstream') return null
  const host = parseHost(text)
  if ('message' in host) return host
  return host.wildcard ? { message: 'a literal host must not include a wildcard' } : null
}
