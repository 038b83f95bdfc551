/**
 * The OpenAPI 3.1 document of the admin API, generated from the schemas of request and response bodies.
 */
import { z } from 'zod'
import { explainBody } from '../explain.ts'
import * as schemas from './api-schemas.ts'
import { purgeBody } from './cache.ts'
import { groupPatch } from './groups.ts'
import { type Body, JSON_TYPE, type Operation, written, YAML_TYPE } from './openapi-operation.ts'
import { PROGRESS_OPERATIONS } from './openapi-progress.ts'
import { RAMP_OPERATIONS } from './openapi-ramps.ts'
import { REVISION_OPERATIONS } from './openapi-revisions.ts'
import { SERVER_OPERATIONS } from './openapi-servers.ts'

const PROBLEM_TYPE = 'application/problem+json'

const routeBody: Body = { types: [JSON_TYPE], schema: schemas.routeBody }
const mergePatch: Body = {
  types: ['application/merge-patch+json', JSON_TYPE],
  schema: z.record(z.string(), z.unknown()).describe('A JSON Merge Patch (RFC 7396) of the route.'),
}
const anyJson = z.record(z.string(), z.unknown())
const text: Body = { types: [YAML_TYPE, 'application/x-yaml', 'text/yaml'], schema: z.string() }

const OPERATIONS: readonly Operation[] = [
  {
    method: 'get',
    path: '/status',
    id: 'getStatus',
    summary: 'List the instances with the revision of each',
    answers: { 200: schemas.statusAnswer },
  },
  {
    method: 'get',
    path: '/routes',
    id: 'listRoutes',
    summary: 'List all routes with live figures',
    answers: { 200: schemas.routesAnswer },
  },
  {
    method: 'post',
    path: '/routes',
    id: 'addRoute',
    summary: 'Add a route',
    body: routeBody,
    edits: true,
    answers: { 200: schemas.dryRunAnswer, 201: schemas.routeAnswer },
  },
  {
    method: 'get',
    path: '/routes/{id}',
    id: 'getRoute',
    summary: 'Get a route',
    answers: { 200: schemas.routeAnswer },
  },
  {
    method: 'get',
    path: '/routes/{id}/history',
    id: 'getRouteHistory',
    summary: 'Get the errors and the latency of both sides of a route over the last day',
    answers: { 200: schemas.routeHistoryAnswer },
  },
  {
    method: 'put',
    path: '/routes/{id}',
    id: 'putRoute',
    summary: 'Add or replace a route',
    body: routeBody,
    edits: true,
    answers: { 200: written(schemas.routeAnswer), 201: schemas.routeAnswer },
  },
  {
    method: 'patch',
    path: '/routes/{id}',
    id: 'patchRoute',
    summary: 'Change a route, such as its percent',
    body: mergePatch,
    edits: true,
    answers: { 200: written(schemas.routeAnswer) },
  },
  {
    method: 'delete',
    path: '/routes/{id}',
    id: 'deleteRoute',
    summary: 'Remove a route',
    edits: true,
    answers: { 200: written(schemas.removedAnswer) },
  },
  {
    method: 'patch',
    path: '/groups/{group}',
    id: 'patchGroup',
    summary: 'Set the percent of all routes of a group',
    body: { types: ['application/merge-patch+json', 'application/json'], schema: groupPatch },
    edits: true,
    answers: { 200: written(schemas.groupAnswer) },
  },
  {
    id: 'getComparisons',
    method: 'get',
    path: '/routes/{id}/comparisons',
    summary: 'Get what comparing the two sides of a route has found',
    query: { since: 'Only what was found in this time, such as `6h`; whole hours count.' },
    answers: { 200: schemas.comparisonsAnswer },
  },
  {
    id: 'getSample',
    method: 'get',
    path: '/samples/{id}',
    summary: 'Get one comparison with its values; needs the write scope',
    answers: { 200: schemas.sampleAnswer },
  },
  {
    method: 'get',
    path: '/routes.yaml',
    id: 'getTable',
    summary: 'Get the current table as YAML',
    answers: { 200: YAML_TYPE, 304: null },
  },
  {
    method: 'put',
    path: '/routes.yaml',
    id: 'putTable',
    summary: 'Replace the whole table',
    body: text,
    edits: true,
    query: {
      percents:
        '`live`: the percents that are live stay; `file`: those of the body are taken. With either, If-Match holds while nothing but percents has changed since that revision.',
    },
    answers: { 200: written(schemas.doneAnswer) },
  },
  {
    method: 'get',
    path: '/upstreams',
    id: 'listUpstreams',
    summary: 'List all upstreams with their servers',
    answers: { 200: schemas.upstreamsAnswer },
  },
  {
    method: 'get',
    path: '/upstreams/{name}',
    id: 'getUpstream',
    summary: 'Get an upstream',
    answers: { 200: schemas.upstreamAnswer },
  },
  ...SERVER_OPERATIONS,
  ...RAMP_OPERATIONS,
  ...PROGRESS_OPERATIONS,
  ...REVISION_OPERATIONS,
  {
    method: 'post',
    path: '/explain',
    id: 'explainRequest',
    summary: 'Explain where a request would go, and why',
    body: { types: [JSON_TYPE], schema: explainBody },
    answers: { 200: schemas.explainAnswer },
  },
  {
    method: 'get',
    path: '/exchanges',
    id: 'listExchanges',
    summary: 'List recent requests',
    answers: { 200: schemas.exchangesAnswer },
  },
  {
    method: 'get',
    path: '/exchanges/{id}',
    id: 'getExchange',
    summary: 'Explain a recent request, by request id',
    answers: { 200: schemas.exchangeAnswer },
  },
  {
    method: 'get',
    path: '/cache',
    id: 'getCache',
    summary: 'Get cache statistics',
    answers: { 200: schemas.cacheAnswer },
  },
  {
    method: 'post',
    path: '/cache/purge',
    id: 'purgeCache',
    summary: 'Purge the cache of all processes',
    reasoned: true,
    body: { types: [JSON_TYPE], schema: purgeBody },
    answers: { 200: schemas.purgeAnswer },
  },
  {
    method: 'get',
    path: '/metrics',
    id: 'getMetrics',
    summary: 'Get metrics in the Prometheus text format',
    answers: { 200: 'text/plain' },
  },
  {
    method: 'get',
    path: '/live',
    id: 'watchLive',
    summary:
      'Watch routes and their figures: a JSON object per line, at most one a second, until the connection is closed',
    answers: { 200: 'application/x-ndjson' },
  },
  {
    method: 'get',
    path: '/livez',
    id: 'getLiveness',
    summary: 'Liveness',
    open: true,
    answers: { 200: schemas.livezAnswer },
  },
  {
    method: 'get',
    path: '/readyz',
    id: 'getReadiness',
    summary: 'Readiness',
    open: true,
    answers: { 200: schemas.readyzAnswer, 503: schemas.readyzAnswer },
  },
  {
    method: 'get',
    path: '/openapi.json',
    id: 'getOpenApi',
    summary: 'Get this document',
    answers: { 200: anyJson },
  },
  {
    method: 'get',
    path: '/routes.schema.json',
    id: 'getTableSchema',
    summary: 'Get the JSON Schema of routes.yaml',
    answers: { 200: anyJson },
  },
]

/** The components that are being collected, by id. */
type Schemas = Record<string, object>

/** What an edit takes besides its body. */
const EDIT_PARAMETERS = {
  dryRun: flag('dryRun', 'Return what would change, without changing it.'),
  force: flag('force', 'Overwrite an invalid table file; the history keeps its content.'),
  ifMatch: header(
    'If-Match',
    'The ETag of the revision that the edit is based on; 412 if it is not current. With * a PUT requires the route to exist.',
  ),
  ifNoneMatch: header('If-None-Match', '* with PUT of a route: 412 if the route exists.'),
  reason: header('Banyan-Reason', 'The reason, at most 500 characters; stored with the revision, or logged.'),
}

const PROBLEM = { $ref: '#/components/responses/Problem' }

/** The document. It is always the same, and takes some milliseconds to make. */
export function openApi(): object {
  const components: Schemas = {}
  const paths: Record<string, Record<string, object>> = {}
  for (const operation of OPERATIONS) {
    paths[operation.path] = { ...paths[operation.path], [operation.method]: described(operation, components) }
  }
  const problem = { [PROBLEM_TYPE]: { schema: schemaOf(schemas.problemAnswer, 'output', components) } }
  return {
    openapi: '3.1.1',
    info: {
      title: 'banyan admin API',
      version: '1',
      description: 'Observe the proxy and edit its table. routes.yaml is the single source of truth.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [
      { url: '/', description: 'The proxy that this document comes from.' },
      { url: 'http://127.0.0.1:8081', description: 'The default of --admin.' },
    ],
    security: [{ token: [] }, {}],
    paths,
    components: {
      schemas: components,
      parameters: EDIT_PARAMETERS,
      responses: { Problem: { description: 'An error (RFC 9457).', content: problem } },
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
  }
}

function described(
  { id, path, summary, body, answers, edits, reasoned, open, query }: Operation,
  components: Schemas,
): object {
  const names = [...path.matchAll(/\{([a-z]+)\}/g)].map(([, name]) => name as string)
  const shared = edits === true ? Object.keys(EDIT_PARAMETERS) : reasoned === true ? ['reason'] : []
  return {
    operationId: id,
    summary,
    ...(open === true ? { security: [] } : {}),
    parameters: [
      ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
      ...shared.map((name) => ({ $ref: `#/components/parameters/${name}` })),
      ...Object.entries(query ?? {}).map(([name, description]) => ({
        name,
        in: 'query',
        description,
        schema: { type: 'string' },
      })),
    ],
    ...(body === undefined
      ? {}
      : { requestBody: { required: body.optional !== true, content: contentOf(body, components) } }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, answerOf(answer, components)])),
      '4XX': PROBLEM,
      '5XX': PROBLEM,
    },
  }
}

function contentOf({ types, schema }: Body, components: Schemas): object {
  const described = schemaOf(schema, 'input', components)
  return Object.fromEntries(types.map((type) => [type, { schema: described }]))
}

function answerOf(answer: z.ZodType | string | null, components: Schemas): object {
  if (answer === null) return { description: 'Not modified.' }
  const [type, schema] = typeof answer === 'string' ? [answer, z.string()] : [JSON_TYPE, answer]
  return { description: 'Success.', content: { [type]: { schema: schemaOf(schema, 'output', components) } } }
}

/** JSON Schema 2020-12, the dialect of OpenAPI 3.1. Whatever has an id becomes a component, and is referred to. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', components: Schemas): unknown {
  // In a tuple, since a schema itself is never one of its own definitions.
  const text = JSON.stringify(z.toJSONSchema(z.tuple([schema]), { io, target: 'draft-2020-12' }))
  const { $defs, prefixItems } = JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/'))
  for (const [id, { id: _, ...definition }] of Object.entries<{ id: string }>($defs ?? {})) components[id] = definition
  return prefixItems[0]
}

function flag(name: string, description: string): object {
  return { name, in: 'query', description, schema: { type: 'boolean', default: false } }
}

function header(name: string, description: string): object {
  return { name, in: 'header', description, schema: { type: 'string' } }
}
