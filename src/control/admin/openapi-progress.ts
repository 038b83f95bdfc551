/**
 * The operations on what is left of the old application in the OpenAPI document.
 */
import { z } from 'zod'
import { object } from '../../rules/values/schema-blocks.ts'
import type { Operation } from './openapi-operation.ts'

const count = z.int().min(0)
const share = z.number().min(0).max(1)
const time = z.string().meta({ format: 'date-time' })
const storage = z.enum(['folder', 'memory']).describe('Where it is kept: what is in memory is lost at a restart.')
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
}).meta({ id: 'DiscoveredEndpoint' })

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
}).meta({ id: 'Discovered' })

/** The operations. */
export const PROGRESS_OPERATIONS: readonly Operation[] = [
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
