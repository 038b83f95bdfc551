/**
 * The operations on what is left of the old application in the OpenAPI document.
 */
import { z } from 'zod'
import type { DiscoveredAnswer, EndpointAnswer, ProgressAnswer, RetirementAnswer } from '../../answers/progress.ts'
import { OBSTACLES } from '../../rules/progress/obstacles.ts'
import { object } from '../../rules/values/schema-blocks.ts'
import { storage } from './api-schemas.ts'
import type { Operation } from './openapi-operation.ts'

const count = z.int().min(0)
const share = z.number().min(0).max(1)
const time = z.string().meta({ format: 'date-time' })
const problem = z.string().nullable().describe('Why it is in memory though there is a state folder.')
const SINCE = 'Only what was counted in this time, such as `7d`; whole days count.'

export const callerShape = {
  callers: z.array(
    object({
      agent: z.string().describe('First product of User-Agent, or `-`.'),
      network: z.string().describe('/24 of the IPv4 address, /48 of the IPv6 address.'),
      requests: count,
      last: time,
    }),
  ),
  otherCallers: count.describe('Requests of callers beyond these.'),
}

const endpointAnswer = object({
  id: z.string(),
  method: z.string().describe('`OTHER` for methods that are in no registry.'),
  path: z.string().describe('As routes write it: values are `:name`.'),
  route: z.string().nullable().describe('The route that claims its requests by now.'),
  requests: count,
  share: share.describe('Of all requests that no route claimed.'),
  statuses: object({ '1xx': count, '2xx': count, '3xx': count, '4xx': count, '5xx': count }),
  meanMs: z.number().min(0).nullable(),
  first: time,
  last: time,
  ...callerShape,
}).meta({ id: 'DiscoveredEndpoint' }) satisfies z.ZodType<EndpointAnswer>

const discoveredAnswer = object({
  storage,
  problem,
  since: time,
  requests: count.describe('That no route claimed.'),
  others: object({
    refused: count.describe('Refused by the application (4xx), or not answered by it.'),
    ambiguous: count.describe('With more than one reading of the path.'),
    more: count.describe('Of endpoints beyond the limit.'),
  }).describe('Requests at no endpoint.'),
  endpoints: z.array(endpointAnswer).describe('The most requests first.'),
}).meta({ id: 'Discovered' }) satisfies z.ZodType<DiscoveredAnswer>

const answered = {
  to: count.describe('Answered by new services.'),
  from: count.describe('Answered by the old application, also without a route and as a fallback.'),
  fallback: count.describe('Of `from`: because `to` had failed.'),
  forced: count.describe('Forced to `from`; not in the others.'),
  ended: count.describe('Answered by banyan, since the endpoint has ended.'),
  share: share.nullable().describe('`to` of `to` and `from`.'),
}

const endpointCount = {
  moved: count.describe('Paths of routes with everybody on `to`.'),
  moving: count,
  waiting: count.describe('Paths of routes at 0 percent.'),
  ended: count,
  unclaimed: count.describe('Endpoints without a route.'),
}

const progressAnswer = object({
  storage,
  problem,
  days: count.describe('Days that the requests below are of, today included; the history has more.'),
  requests: object(answered),
  endpoints: object({ ...endpointCount, share: share.nullable().describe('Moved and ended, of all.') }),
  routes: z.array(
    object({
      id: z.string(),
      stage: z.enum(['moved', 'moving', 'waiting', 'ended']),
      percent: z.number(),
      since: time.nullable().describe('Since when it is there, as far as that is known.'),
      ...answered,
    }),
  ),
  unclaimed: object(answered).describe('Requests without a route.'),
  next: z.array(
    object({
      kind: z.enum(['retire', 'raise', 'begin', 'route']),
      what: z.string(),
      why: z.string(),
      command: z.string(),
    }),
  ),
  by: z.enum(['hour', 'day', 'week']),
  history: z
    .array(object({ at: time, ...answered, endpoints: object(endpointCount).nullable() }))
    .describe('The oldest first. Days and weeks (from Monday on) are of UTC.'),
}).meta({ id: 'Progress' }) satisfies z.ZodType<ProgressAnswer>

const retirementAnswer = object({
  route: z.string().nullable(),
  from: z.string().nullable().describe('The old side; null where there is none.'),
  ended: z.boolean().optional().describe('The endpoint has ended: nobody is asked any more.'),
  days: count.describe('It has to be quiet for so many days.'),
  ready: z.boolean().describe('Nothing stands in the way.'),
  obstacles: z.array(
    object({
      kind: z.enum(OBSTACLES),
      why: z.string(),
      blocks: z.boolean().describe('False for what is only to be known.'),
      command: z.string().nullable(),
    }),
  ),
  ...callerShape,
}).meta({ id: 'RetirementCheck' }) satisfies z.ZodType<RetirementAnswer>

const DAYS = 'Days that it has to be quiet, 1 to 35. Default 30.'

/** The operations. */
export const PROGRESS_OPERATIONS: readonly Operation[] = [
  {
    method: 'get',
    path: '/progress',
    id: 'getProgress',
    summary: 'Get how far the migration is',
    query: { by: 'Steps of the history: `hour` (8 weeks), `day` or `week` (26 weeks; default).' },
    answers: { 200: progressAnswer },
  },
  {
    method: 'get',
    path: '/retirement',
    id: 'checkRetirement',
    summary: 'Get what stands in the way of switching the old application off',
    query: { days: DAYS },
    answers: { 200: retirementAnswer },
  },
  {
    method: 'get',
    path: '/routes/{id}/retirement',
    id: 'checkRouteRetirement',
    summary: 'Get what stands in the way of switching the old side of a route off',
    query: { days: DAYS },
    answers: { 200: retirementAnswer },
  },
  {
    method: 'get',
    path: '/discovered',
    id: 'listDiscovered',
    summary: 'List the endpoints that no route claims',
    query: { since: SINCE },
    answers: { 200: discoveredAnswer },
  },
  {
    method: 'get',
    path: '/discovered/{id}',
    id: 'getDiscovered',
    summary: 'Get an endpoint that no route claims',
    answers: { 200: endpointAnswer },
  },
]
