/**
 * Schemas of the admin API's responses: the OpenAPI document is generated from them, and tests validate real responses.
 */
import { z } from 'zod'
import type { CacheAnswer, PurgeAnswer } from '../../answers/cache.ts'
import type { ComparisonsAnswer, SampleAnswer } from '../../answers/comparisons.ts'
import type { ChangeAnswer, DryRunAnswer, RevisionsAnswer, SummaryAnswer } from '../../answers/revisions.ts'
import type { RouteAnswer, RouteHistoryAnswer, RouteWindowAnswer, SideAnswer } from '../../answers/routes.ts'
import type { StatusAnswer } from '../../answers/status.ts'
import type { LiveServerAnswer, ServerAnswer, UpstreamAnswer } from '../../answers/upstreams.ts'
import { BREAKER_WORDS } from '../../rules/failures/breaker.ts'
import { tableSchema } from '../../rules/table/schema.ts'
import { MAX_PROBLEMS } from '../../rules/values/problem.ts'
import { object } from '../../rules/values/schema-blocks.ts'
import { CACHE_WORDS, REASONS } from '../../state/figures/cell.ts'
import { SERVER_WORDS } from '../../state/upstreams/figures.ts'
import { seenServer } from '../cluster/elsewhere.ts'
import { STORAGES } from '../figures/stored.ts'
import { INSTANCE_STATES } from './status.ts'

/** A route, with the schema of routes.yaml. */
export const routeBody = tableSchema.shape.routes.unwrap().element
/** An upstream, with the schema of routes.yaml. */
const upstreamBody = tableSchema.shape.upstreams.valueType

const count = z.int().min(0)
const ratio = z.number().min(0).max(1).nullable()
const percent = z.number().min(0).max(100)
const ms = z.number().min(0)
const time = z.string().meta({ format: 'date-time' })
const etag = z.string().describe('ETag of a revision, including the quotes.')
const revision = z.int().min(1).describe('Number of the current revision.')
const upstreamName = z.string()
export const storage = z
  .enum(STORAGES)
  .describe(
    'Where it is kept: in the state folder, in the Redis of the cluster, or in memory, which is lost at a restart.',
  )

/** Where requests without a route go: the one or the other. */
const defaultShape = {
  default: upstreamName.nullable(),
  defaultStatus: z.int().nullable().describe('Of the responses, where there is no upstream.'),
}

const counts = (words: readonly string[]) => z.object(Object.fromEntries(words.map((word) => [word, count]))).strict()

const windowShape = {
  seconds: z.number().describe('Current length of the window.'),
  exchanges: count,
  perSecond: z.number().min(0),
  errorRatio: ratio,
  fallbacks: count,
  cacheHitRatio: ratio,
  meanMs: ms.nullable(),
  p50Ms: ms.nullable(),
  p95Ms: ms.nullable(),
  p99Ms: ms.nullable(),
}

const sideFigures = object({
  exchanges: count.describe('Requests that were drawn for this upstream, whichever one responded: what clients got.'),
  errorRatio: ratio,
  p50Ms: ms.nullable(),
  p95Ms: ms.nullable(),
  p99Ms: ms.nullable(),
  attempts: count.describe('Attempts at its servers for these requests, up to the response headers.'),
  failedRatio: ratio,
  attemptP50Ms: ms.nullable(),
  attemptP95Ms: ms.nullable(),
  attemptP99Ms: ms.nullable(),
}).meta({ id: 'SideFigures' }) satisfies z.ZodType<SideAnswer>

const routeWindow = object({
  ...windowShape,
  share: object({
    requestedPercent: percent,
    actualPercent: percent.nullable(),
    actualUnitPercent: percent.nullable(),
    noKeyPercent: percent.nullable(),
  }).nullable(),
  sides: z.record(upstreamName, sideFigures),
  withoutKey: z
    .record(upstreamName, sideFigures)
    .describe('Requests without a sticky key, by the upstream that noKey says. They are in no side.'),
}).meta({ id: 'RouteWindow' }) satisfies z.ZodType<RouteWindowAnswer>

export const liveRoute = object({
  exchanges: count,
  reasons: counts(REASONS),
  upstreams: z.record(upstreamName, count),
  statusClasses: z
    .array(count)
    .length(6)
    .describe('Responses by status class (1xx to 5xx); index 0 counts clients that disconnected before the response.'),
  cache: counts(CACHE_WORDS),
  failures: z.record(z.string(), count),
  fallbacks: z.record(z.string(), count).describe('By the failure or status of `to` that triggered them.'),
  durationMsSum: ms,
  sides: z
    .record(upstreamName, object({ attempts: count, failed: count }))
    .describe('Attempts at an upstream for requests drawn for it, and those that failed or got a 5xx response.'),
  lastMinute: routeWindow,
  lastFiveMinutes: routeWindow,
}).meta({ id: 'LiveRoute' })

const breakerWord = z.enum(BREAKER_WORDS)

const routeState = routeBody
  .extend({
    percent,
    order: z.int().min(1),
    live: liveRoute
      .extend({ breaker: breakerWord.nullable().describe('null if the route has none.') })
      .meta({ id: 'RouteFigures' }),
  })
  .meta({ id: 'RouteState' })

export const routeAnswer = routeState
  .extend({
    revision,
    withoutKey: object({ exchanges: count, withoutKey: count, moved: count })
      .optional()
      .describe(
        'After an edit of a route with sticky keys: recent requests of the route, those without a key, and those of them that the edit has moved.',
      ),
  })
  .meta({ id: 'RouteAnswer' }) satisfies z.ZodType<RouteAnswer>
export const groupAnswer = object({
  revision,
  etag,
  changed: z.boolean(),
  group: z.string(),
  percent,
  routes: z.array(object({ id: z.string(), before: percent.nullable() })),
  withoutKey: object({ exchanges: count, withoutKey: count, moved: count }),
}).meta({ id: 'GroupAnswer' })
export const routesAnswer = object({
  revision,
  ...defaultShape,
  routes: z.array(routeState),
  live: object({ unclaimed: liveRoute }),
}).meta({ id: 'Routes' })

export const routeHistoryAnswer = object({
  route: z.string(),
  stepSeconds: count,
  keptSteps: count,
  steps: z
    .array(
      object({
        at: time.describe('Its begin.'),
        sides: z
          .record(upstreamName, object({ exchanges: count.min(1), errorRatio: ratio, p95Ms: ms.nullable() }))
          .describe('What clients got, by the side that was decided. A side without requests is left out.'),
      }),
    )
    .describe('The oldest first; steps without requests are left out, and the last one may still be going on.'),
}).meta({ id: 'RouteHistory' }) satisfies z.ZodType<RouteHistoryAnswer>

const serverHealth = object({
  healthy: z.boolean(),
  since: time.describe('Time of the last change, or when it was first known.'),
  probes: object({ good: count, failed: count }),
  last: object({
    good: z.boolean(),
    detail: z.string().describe('Result of the probe.'),
    at: time,
    durationMs: ms,
  }).nullable(),
}).nullable()

const breaker = object({ route: z.string(), state: breakerWord, opened: count })
const liveServer = object({
  id: z.string(),
  url: z.string(),
  weight: z.int().min(1),
  leased: z.boolean().describe('Registered with a lease, not in the table.'),
  state: z.enum(SERVER_WORDS),
  health: serverHealth.describe('Result of the active health checks; null if there are none.'),
  connections: object({ open: count, active: count, idle: count }),
  connects: count,
  reuses: count,
  repaired: count.describe('Invalid responses that were accepted.'),
  exchanges: count.describe('Requests sent to it, including retries and forced requests.'),
  failures: count.describe('Failed requests: no valid response, or a 5xx response.'),
  clientErrors: count.describe('4xx responses.'),
  redirects: count.describe('3xx responses other than 304.'),
  ejections: count.describe('Number of ejections after consecutive failures.'),
}).meta({ id: 'LiveServer' }) satisfies z.ZodType<LiveServerAnswer>
const timedServer = liveServer
  .extend({
    responseMs: z
      .record(z.string(), count)
      .describe('Responses by milliseconds from the last byte of the request to their headers, exact to 2 %.'),
  })
  .meta({ id: 'TimedServer' })

const serverState = object({
  upstream: upstreamName,
  id: z.string(),
  url: z.string(),
  weight: z.int().min(1),
  drained: z.boolean().describe('It receives no new requests.'),
  lease: object({ ttl: z.string(), endsAt: time })
    .nullable()
    .describe(
      'Lease of a registered server, which is removed unless the lease is renewed; null for a server of the table.',
    ),
  active: count.describe('Requests in flight.'),
  live: z.array(timedServer).describe('One entry per resolved address.'),
}).meta({ id: 'ServerState' }) satisfies z.ZodType<ServerAnswer>
const listedServer = serverState
  .extend({
    elsewhere: z
      .array(object({ instance: z.string(), live: z.array(seenServer) }))
      .optional()
      .describe('With `instances=all`: the same server, as the other instances of the cluster see it.'),
  })
  .meta({ id: 'ListedServer' })
const note = z
  .string()
  .nullable()
  .describe('The consequence, if no other server of the upstream receives new requests.')

export const serverAnswer = serverState.extend({ revision }).meta({ id: 'ServerAnswer' })
export const serversAnswer = object({ revision, upstream: upstreamName, servers: z.array(listedServer) }).meta({
  id: 'Servers',
})
export const drainAnswer = serverAnswer.extend({ note }).meta({ id: 'DrainedServer' })
export const serverRemovedAnswer = object({ revision, etag, removed: z.string(), note }).meta({ id: 'RemovedServer' })

const upstreamState = upstreamBody
  .extend({
    name: upstreamName,
    routes: z.array(z.string()).describe('Routes that use it.'),
    live: object({
      lastMinute: object(windowShape),
      active: count.describe('Requests in flight.'),
      queued: count.describe('Queued requests.'),
      retries: count.describe('Retries.'),
      retriesRefused: count.describe('Retries denied by the retry budget.'),
      shed: count.describe('Requests rejected because the queue was full.'),
      queueTimeouts: count.describe('Requests that timed out in the queue.'),
      breakers: z.array(breaker).describe('Circuit breakers of routes to this upstream that have had traffic.'),
      servers: z.array(liveServer),
    }),
  })
  .meta({ id: 'UpstreamState' }) satisfies z.ZodType<UpstreamAnswer>

export const upstreamAnswer = upstreamState.extend({ revision }).meta({ id: 'UpstreamAnswer' })
export const upstreamsAnswer = object({ revision, ...defaultShape, upstreams: z.array(upstreamState) }).meta({
  id: 'Upstreams',
})

const change = object({
  what: z.enum(['route', 'upstream', 'default', 'visitor']),
  name: z.string(),
  change: z.enum(['added', 'removed', 'changed']),
  keys: z.array(object({ key: z.string(), before: z.unknown(), after: z.unknown() })).optional(),
}).meta({ id: 'Change' }) satisfies z.ZodType<ChangeAnswer>
const changes = z.array(change)
const diff = z.string().describe('Unified diff.')

const more = count.optional().describe('Number of further entries that are not listed.')

const tableProblem = object({
  file: z.string(),
  line: z.int().min(1),
  column: z.int().min(1),
  pointer: z.string().describe('JSON Pointer into the table.'),
  message: z.string(),
  hint: z.string().optional(),
  severity: z.enum(['error', 'warning']),
}).meta({ id: 'TableProblem' })

export const removedAnswer = object({ revision, etag, removed: z.string() }).meta({ id: 'RemovedRoute' })
export const doneAnswer = object({ revision, etag, changed: z.boolean(), changes }).meta({ id: 'TableEdit' })

export const dryRunAnswer = object({
  dryRun: z.literal(true),
  revision,
  changed: z.boolean(),
  changes,
  diff,
  warnings: z.array(tableProblem).max(MAX_PROBLEMS),
  more,
  simulation: object({
    exchanges: count,
    since: time.nullable(),
    moved: count,
    movedPercent: percent.nullable(),
    units: object({ seen: count, moved: count }),
    withoutKey: object({ seen: count, moved: count }).describe(
      'Requests without a sticky key, and those of them that would move: all at once.',
    ),
    routes: z.array(object({ route: z.string().nullable(), exchanges: count, moved: count, reclaimed: count })),
    silenced: z.array(z.string()),
    caches: z.array(
      object({
        route: z.string(),
        upstream: upstreamName,
        why: z.enum(['route-removed', 'cache-changed', 'upstream-left', 'share-lowered']),
      }),
    ),
  }),
}).meta({ id: 'DryRun' }) satisfies z.ZodType<DryRunAnswer>

const briefChanges = z.array(
  change.omit({ keys: true }).extend({
    keys: z.array(object({ key: z.string(), before: z.string().nullable(), after: z.string().nullable() })),
  }),
)

const summary = object({
  changes: briefChanges,
  more: count.describe('Number of further changes that are not listed.'),
})
  .nullable()
  .describe('What it changed, values as short text; null where that is not known.')
  .meta({ id: 'ChangeSummary' }) satisfies z.ZodType<SummaryAnswer | null>

const revisionShape = {
  revision: z.int().min(1),
  etag,
  at: time,
  author: z.string().describe('Name of the token, anonymous, or file.'),
  reason: z.string().nullable(),
  forced: z.boolean().describe('It replaced an invalid file.'),
  summary,
  run: z
    .int()
    .min(1)
    .describe(
      'The first revision of its run: edits of one route or upstream by one author, within an hour of each other.',
    ),
  kept: object({ by: z.string(), at: time, reason: z.string().nullable() })
    .nullable()
    .describe('Who marked it to be kept; null if nobody did.'),
}
export const keptAnswer = object(revisionShape).meta({ id: 'RevisionState' })
export const revisionsAnswer = object({
  current: revision,
  revisions: z.array(keptAnswer),
  problem: z.string().nullable().describe('Why revisions are not stored on disk, or null.'),
}).meta({ id: 'Revisions' }) satisfies z.ZodType<RevisionsAnswer>
export const revisionAnswer = object({
  ...revisionShape,
  changes: changes.nullable(),
  diff: diff.nullable(),
  since: revision.nullable().describe('The revision that it is compared with; null if that is no longer stored.'),
  text: z.string(),
}).meta({ id: 'Revision' })

const undoes = z
  .array(
    object({
      revision: z.int().min(1),
      at: time,
      author: z.string(),
      yours: z.boolean().describe('You made it: the token has its name.'),
      reason: z.string().nullable(),
      summary,
    }),
  )
  .describe('The revisions that it takes back, newest first.')
export const restoredAnswer = doneAnswer.extend({ undoes }).meta({ id: 'RestoredRevision' })
export const restoreDryRunAnswer = dryRunAnswer.extend({ undoes }).meta({ id: 'RestoreDryRun' })

const reverted = object({ first: z.int().min(1), last: z.int().min(1) }).describe(
  'The revisions that were undone: more than one where inner ones of a run are no longer stored.',
)
export const revertedAnswer = doneAnswer.extend({ reverted }).meta({ id: 'RevertedRevision' })
export const revertDryRunAnswer = dryRunAnswer.extend({ reverted }).meta({ id: 'RevertDryRun' })

const decision = object({
  routeId: z.string().nullable(),
  upstream: upstreamName,
  reason: z.enum(REASONS),
  bucket: z.number().min(0).lt(100).nullable(),
  percent: percent.nullable(),
  sticky: z.string().nullable(),
}).meta({ id: 'Decision' })
const requestView = object({
  method: z.string(),
  target: z.string(),
  host: z.string(),
  rawHeaders: z.array(z.string()).describe('Alternating names and values.'),
  clientAddress: z.string(),
  chance: z.number().min(0).lt(1),
  scheme: z.enum(['http', 'https']).optional().describe('Of a described request: https if the URL says so.'),
}).meta({ id: 'RequestView' })
const explainedShape = {
  decision,
  route: object({
    id: z.string(),
    from: upstreamName,
    to: upstreamName,
    targets: z.array(object({ upstream: upstreamName, weight: count })).describe('The upstreams of `to`.'),
    percent,
    group: z.string(),
    sticky: z.array(object({ source: z.string(), present: z.boolean(), used: z.boolean() })),
    toIsAvailable: z.boolean(),
    fallback: z.boolean(),
    cached: z.boolean(),
    tellSide: z.enum(['header', 'cookie']).nullable(),
  }).nullable(),
  candidates: z.array(
    object({ routeId: z.string(), matched: z.boolean(), won: z.boolean(), lost: z.array(z.string()) }),
  ),
  otherRoutes: count,
  sent: z
    .array(
      object({
        side: z.enum(['from', 'to']).nullable().describe('Null if no route matches.'),
        upstream: upstreamName,
        method: z.string(),
        target: z.string().nullable().describe('Null if the path could be misread: such a request gets 400.'),
        headers: z.array(z.tuple([z.string(), z.string()])),
      }),
    )
    .describe('The request as each side of the route would get it.'),
  cache: object({
    key: z.string().nullable(),
    verdict: z.enum(['fresh', 'stale', 'stale-while-revalidate', 'validate', 'miss', 'only-if-cached', 'pass']),
    why: z.string(),
    stored: object({
      where: z.enum(['memory', 'redis']),
      status: count,
      ageSeconds: count,
      freshForSeconds: z.int().describe('Negative if stale.'),
    }).nullable(),
  })
    .nullable()
    .describe('What the cache would do; null if the route has none.'),
}
export const explainAnswer = object({
  revision,
  request: requestView,
  ...explainedShape,
  server: z.string().nullable().describe('The server that would be chosen now.'),
}).meta({ id: 'Explanation' })

const exchangeShape = {
  id: z.string(),
  at: time,
  method: z.string(),
  host: z.string(),
  target: z.string(),
  status: count,
  durationMs: ms,
  decision,
  revision: z.int().min(1),
  server: z.string().nullable(),
  cache: z.string(),
  failure: z.string().nullable(),
  retries: count,
}
export const exchangesAnswer = object({ exchanges: z.array(object(exchangeShape)), skipped: count }).meta({
  id: 'Exchanges',
})
export const exchangeAnswer = object({
  ...exchangeShape,
  request: requestView,
  now: object({ revision, ...explainedShape }),
}).meta({ id: 'Exchange' })

const remoteFigures = object({
  state: z.enum(['up', 'degraded']),
  why: z.string().nullable(),
  breaker: z.enum(['closed', 'open', 'half-open']),
}).catchall(count)

export const cacheAnswer = object({
  memory: object({ entries: count, bytes: count, maxBytes: count }),
  remote: remoteFigures.nullable(),
  generation: count,
  counters: object({ skipped: z.record(z.string(), count) }).catchall(count),
  degraded: z.string().nullable(),
}).meta({ id: 'CacheStatistics' }) satisfies z.ZodType<CacheAnswer>
export const purgeAnswer = object({
  purged: z.record(z.string(), z.string().nullable()),
  soft: z.boolean(),
  shared: z
    .boolean()
    .describe('false if other processes may not know yet: they follow when Redis can be written again.'),
  why: z.string().optional().describe('Why it is not shared yet.'),
  entries: count
    .nullable()
    .describe('Responses in memory that it covered, of all workers; null if purges come too fast to be counted.'),
  note: z.string().optional().describe('Why it can have covered nothing.'),
}).meta({ id: 'Purge' }) satisfies z.ZodType<PurgeAnswer>

const difference = {
  path: z
    .string()
    .describe(
      'A JSON pointer with * for any index, status, header:NAME, cookie:NAME or charset; empty for the whole body.',
    ),
  kind: z.enum(['missing', 'extra', 'type', 'value', 'order', 'length']),
}
const value = z.string().nullable()
const whyCounts = z.record(z.string(), count)
export const comparisonsAnswer = object({
  route: z.string(),
  from: upstreamName,
  to: routeBody.shape.to,
  percent,
  shadow: object({
    percent,
    sides: z.enum(['from', 'to', 'both']),
    samples: z.enum(['hashes', 'values']),
  }).nullable(),
  storage,
  problem: z.string().nullable().describe('Why it is in memory though there is a state folder.'),
  since: time.nullable(),
  comparisons: count,
  matches: count,
  mismatches: count,
  partial: count.describe(
    'No evidence, though nothing differs, since no bodies of what was asked for were compared: the request is HEAD, both sides answered 5xx, or a body can not be decoded or is larger than `maxBody`, which can be raised. These are not among the comparisons.',
  ),
  blind: count.describe(
    'Those of the comparisons that tell nothing of the fields of a body: the statuses differ, or the bodies as a whole, or they were not compared. `requires` of a ramp does not count them.',
  ),
  noiseComparisons: count.describe('Comparisons of two responses of `from` to requests picked at random.'),
  repeats: count.describe('Times that `from` was asked again: for requests picked at random, and after a difference.'),
  cookieSet: count.describe(
    'Times that `from` was not asked again because its response had set a cookie that the client had not sent.',
  ),
  errors: whyCounts.describe('Copies without a response, by failure.'),
  skipped: whyCounts.describe(
    'Requests that were drawn and not copied, by reason. `paused`: five copies in a row to the upstream, of whatever route, got no response.',
  ),
  fields: z.array(
    object({
      ...difference,
      verdict: z.enum(['mismatch', 'noise', 'not-enough']),
      count,
      rate: z.number().min(0).max(1).describe('Of the comparisons.'),
      noiseRate: ratio.describe('Of the comparisons of `from` with itself.'),
      first: time,
      last: time,
      example: object({ from: value, to: value }).describe('Type, length and keyed hash of the last values.'),
      sample: z.string().nullable(),
    }),
  ),
  moreFields: count.describe('Differences at fields beyond those that are counted one by one.'),
  samples: z.array(object({ id: z.string(), at: time })),
}).meta({ id: 'Comparisons' }) satisfies z.ZodType<ComparisonsAnswer>
export const sampleAnswer = object({
  id: z.string(),
  route: z.string(),
  at: time,
  method: z.string(),
  target: z.string(),
  revision,
  note: z.string().nullable(),
  differences: z.array(object({ ...difference, from: value, to: value })),
}).meta({ id: 'Sample' }) satisfies z.ZodType<SampleAnswer>

export const livezAnswer = object({ alive: z.literal(true) }).meta({ id: 'Liveness' })
export const readyzAnswer = object({
  ready: z.boolean(),
  reasons: z.array(z.string()),
  table: object({
    revision,
    etag,
    appliedAt: time,
    ageSeconds: count,
    refused: z
      .union([
        object({ at: time, problems: z.array(tableProblem).max(MAX_PROBLEMS), more: count }),
        object({ at: time, problemCount: count }),
      ])
      .nullable(),
  }),
  workers: z
    .array(
      object({
        worker: z.int().min(1),
        state: z.enum(['starting', 'up', 'leaving', 'gone']),
        pid: z.int().nullable(),
        revision: revision.nullable().describe('Revision used for new requests.'),
        connections: count,
        starts: count.describe('Number of processes started for this worker.'),
      }),
    )
    .describe('Empty with a single process.'),
}).meta({ id: 'Readiness' })

export const statusAnswer = object({
  ready: z.boolean(),
  reasons: z.array(z.string()).describe('Also problems that do not prevent serving.'),
  revision,
  etag,
  madeAt: time.nullable().describe('When the revision was made, at whichever instance; null if it is not known.'),
  appliedAt: time.describe('Since when it is in force at this instance.'),
  author: z.string().nullable(),
  reason: z.string().nullable(),
  cluster: object({
    name: z.string(),
    epoch: count.describe('Counts up each time that an empty or older Redis was filled again.'),
    revision: revision.describe('The newest one of any instance.'),
    problem: z.string().nullable().describe('Why this instance does not follow; null if it does.'),
    unreadable: count.describe('Instances that tell what can not be read here: another secret, or another release.'),
    rampsRunBy: z.string().describe('The instance that runs the ramps; empty for none.'),
    followed: object({
      file: z.string(),
      drift: z.string().nullable().describe('How it differs from the table that is live; null if it does not.'),
      changes: briefChanges.describe('What the file would change.'),
      more: count,
    })
      .nullable()
      .describe('The table file of this instance with `--follow-table`.'),
  })
    .nullable()
    .describe('Null without `--cluster`.'),
  instances: z.array(
    object({
      instance: z.string().nullable(),
      self: z.boolean().describe('The instance that has answered.'),
      host: z.string(),
      pid: z.int(),
      admin: z.string().nullable().describe('Address of its admin API.'),
      version: z.string(),
      workers: count,
      state: z
        .enum(INSTANCE_STATES)
        .describe('`not-following`: see `problem`; `silent`: nothing was heard of it for 5 seconds.'),
      revision: z.int().min(0),
      behind: z.int().nullable().describe('Revisions behind the newest one; null for one of another epoch.'),
      startedAt: time.nullable(),
      seenSeconds: count.describe('How long ago it was heard of.'),
      problem: z.string().nullable(),
      drift: z
        .string()
        .nullable()
        .describe('Why the table file that it follows is not live; null where it is, or none is followed.'),
    }),
  ),
  ramps: z
    .array(object({ route: z.string(), status: z.string(), percent: z.number(), why: z.string() }))
    .describe('Those under way.'),
  drained: z
    .array(object({ upstream: z.string(), server: z.string() }))
    .describe('Servers that get no new exchanges until they are undrained.'),
}).meta({ id: 'Status' }) satisfies z.ZodType<StatusAnswer>

/** RFC 9457, with the additional members of this API. */
export const problemAnswer = object({
  type: z.string().meta({ format: 'uri' }),
  title: z.string(),
  status: z.int().min(400).max(599),
  detail: z.string(),
  requestId: z.string(),
  errors: z
    .array(object({ pointer: z.string(), detail: z.string(), hint: z.string().optional() }))
    .max(MAX_PROBLEMS)
    .optional()
    .describe('Errors of the body, each with a JSON Pointer.'),
  problems: z.array(tableProblem).max(MAX_PROBLEMS).optional(),
  more,
  hint: z.string().optional(),
  line: z.int().optional(),
  column: z.int().optional(),
  revision: revision.optional(),
  etag: etag.optional(),
  difference: object({ since: z.int(), changes, diff }).nullable().optional(),
  conflicts: z
    .array(
      object({
        place: z.string().describe('Such as `routes.search.percent`.'),
        path: z.array(z.string()),
        before: z.string().nullable().describe('What it was before the revision.'),
        made: z.string().nullable().describe('What the revision made of it.'),
        now: z.string().nullable().describe('What it is now.'),
        since: object({ revision: z.int(), author: z.string() })
          .nullable()
          .describe('Who has changed it since; null if that is no longer known.'),
      }),
    )
    .optional(),
}).meta({ id: 'Problem' })
