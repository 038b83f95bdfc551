/**
 * The OpenAPI 3.1 document of the admin API, generated from the schemas of request and response bodies.
 */
import { z } from 'zod'
import { explainBody } from '../explain.ts'
import * as schemas from './api-schemas.ts'
import { purgeBody } from './cache.ts'
import { type Body, JSON_TYPE, nothing, type Operation, written } from './openapi-operation.ts'
import { SERVER_OPERATIONS } from './openapi-servers.ts'

const PROBLEM_TYPE = 'application/problem+json'
const YAML_TYPE = 'application/yaml'

const routeBody: Body = { types: [JSON_TYPE], schema: schemas.routeBody }
const mergePatch: Body = {
  types: ['application/merge-patch+json', JSON_TYPE],
  schema: z.record(z.string(), z.unknown()).describe('A JSON Merge Patch (RFC 7396) of the route.'),
}
const text: Body = { types: [YAML_TYPE, 'application/x-yaml', 'text/yaml'], schema: null }

const OPERATIONS: readonly Operation[] = [
  {
    method: 'get',
    path: '/routes',
    summary: 'List all routes with live figures',
    answers: { 200: schemas.routesAnswer },
  },
  {
    method: 'post',
    path: '/routes',
    summary: 'Add a route',
    body: routeBody,
    edits: true,
    answers: { 200: schemas.dryRunAnswer, 201: schemas.routeAnswer },
  },
  { method: 'get', path: '/routes/{id}', summary: 'Get a route', answers: { 200: schemas.routeAnswer } },
  {
    method: 'put',
    path: '/routes/{id}',
    summary: 'Add or replace a route',
    body: routeBody,
    edits: true,
    answers: { 200: written(schemas.routeAnswer), 201: schemas.routeAnswer },
  },
  {
    method: 'patch',
    path: '/routes/{id}',
    summary: 'Change a route, such as its percent',
    body: mergePatch,
    edits: true,
    answers: { 200: written(schemas.routeAnswer) },
  },
  {
    method: 'delete',
    path: '/routes/{id}',
    summary: 'Remove a route',
    edits: true,
    answers: { 200: written(schemas.removedAnswer) },
  },
  {
    method: 'get',
    path: '/routes.yaml',
    summary: 'Get the current table as YAML',
    answers: { 200: YAML_TYPE, 304: '' },
  },
  {
    method: 'put',
    path: '/routes.yaml',
    summary: 'Replace the whole table',
    body: text,
    edits: true,
    answers: { 200: written(schemas.doneAnswer) },
  },
  {
    method: 'get',
    path: '/upstreams',
    summary: 'List all upstreams with their servers',
    answers: { 200: schemas.upstreamsAnswer },
  },
  { method: 'get', path: '/upstreams/{name}', summary: 'Get an upstream', answers: { 200: schemas.upstreamAnswer } },
  ...SERVER_OPERATIONS,
  {
    method: 'get',
    path: '/revisions',
    summary: 'List the stored revisions',
    answers: { 200: schemas.revisionsAnswer },
  },
  {
    method: 'get',
    path: '/revisions/{number}',
    summary: 'Get a revision and its changes',
    answers: { 200: schemas.revisionAnswer },
  },
  {
    method: 'get',
    path: '/revisions/{number}/routes.yaml',
    summary: 'Get the table of a revision as YAML',
    answers: { 200: YAML_TYPE },
  },
  {
    method: 'get',
    path: '/revisions/{number}/overwritten',
    summary: 'Get the invalid file that a forced revision replaced',
    answers: { 200: 'application/octet-stream' },
  },
  {
    method: 'post',
    path: '/revisions/{number}/restore',
    summary: 'Restore a revision',
    body: nothing,
    edits: true,
    answers: { 200: written(schemas.doneAnswer) },
  },
  {
    method: 'post',
    path: '/explain',
    summary: 'Explain where a request would go, and why',
    body: { types: [JSON_TYPE], schema: explainBody },
    answers: { 200: schemas.explainAnswer },
  },
  { method: 'get', path: '/exchanges', summary: 'List recent requests', answers: { 200: schemas.exchangesAnswer } },
  {
    method: 'get',
    path: '/exchanges/{id}',
    summary: 'Explain a recent request, by request id',
    answers: { 200: schemas.exchangeAnswer },
  },
  {
    method: 'get',
    path: '/cache',
    summary: 'Get cache statistics',
    answers: { 200: schemas.cacheAnswer },
  },
  {
    method: 'post',
    path: '/cache/purge',
    summary: 'Purge the cache of all processes',
    body: { types: [JSON_TYPE], schema: purgeBody },
    answers: { 200: schemas.purgeAnswer },
  },
  {
    method: 'get',
    path: '/metrics',
    summary: 'Get metrics in the Prometheus text format',
    answers: { 200: 'text/plain' },
  },
  { method: 'get', path: '/livez', summary: 'Liveness', open: true, answers: { 200: schemas.livezAnswer } },
  {
    method: 'get',
    path: '/readyz',
    summary: 'Readiness',
    open: true,
    answers: { 200: schemas.readyzAnswer, 503: schemas.readyzAnswer },
  },
  {
    method: 'get',
    path: '/openapi.json',
    summary: 'Get this document',
    answers: { 200: z.record(z.string(), z.unknown()) },
  },
]

const EDIT_PARAMETERS = [
  queryFlag('dryRun', 'Return what would change, without changing it.'),
  queryFlag('force', 'Overwrite an invalid table file; the history keeps its content.'),
  headerField(
    'If-Match',
    'The ETag of the revision that the edit is based on; 412 if it is not current. With * a PUT requires the route to exist.',
  ),
  headerField('If-None-Match', '* with PUT of a route: 412 if the route exists.'),
  headerField('Banyan-Reason', 'The reason, at most 500 characters; stored with the revision.'),
]

/** The document. */
export const OPENAPI: Readonly<Record<string, unknown>> = Object.freeze({
  openapi: '3.1.0',
  info: {
    title: 'banyan admin API',
    version: '1',
    description: 'Observe the proxy and edit its table. routes.yaml is the single source of truth.',
  },
  security: [{ token: [] }, {}],
  paths: paths(),
  components: {
    securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    schemas: { Problem: schemaOf(schemas.problemAnswer, 'output') },
  },
})

function paths(): Record<string, Record<string, object>> {
  const all: Record<string, Record<string, object>> = {}
  for (const operation of OPERATIONS) {
    all[operation.path] = { ...all[operation.path], [operation.method]: described(operation) }
  }
  return all
}

function described({ path, summary, body, answers, edits, open, query }: Operation): object {
  const names = [...path.matchAll(/\{([a-z]+)\}/g)].map(([, name]) => name as string)
  const parameters = names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }))
  return {
    summary,
    ...(open === true ? { security: [] } : {}),
    parameters: [...parameters, ...(edits === true ? EDIT_PARAMETERS : []), ...queryParameters(query ?? {})],
    ...(body === undefined ? {} : { requestBody: { required: body.optional !== true, content: contentOf(body) } }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, answerOf(answer)])),
      default: {
        description: 'Error: problem+json (RFC 9457).',
        content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  }
}

function contentOf({ types, schema }: Body): object {
  const described = schema === null ? { type: 'string' } : schemaOf(schema, 'input')
  return Object.fromEntries(types.map((type) => [type, { schema: described }]))
}

function answerOf(answer: z.ZodType | string): object {
  if (answer === '') return { description: 'Not modified.' }
  const [type, schema] =
    typeof answer === 'string' ? [answer, { type: 'string' }] : [JSON_TYPE, schemaOf(answer, 'output')]
  return { description: 'Success.', content: { [type]: { schema } } }
}

/** JSON Schema 2020-12, the dialect of OpenAPI 3.1. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' })
  return rest
}

function queryParameters(query: Readonly<Record<string, string>>): object[] {
  return Object.entries(query).map(([name, description]) => ({
    name,
    in: 'query',
    description,
    schema: { type: 'string' },
  }))
}

function queryFlag(name: string, description: string): object {
  return { name, in: 'query', description, schema: { type: 'boolean', default: false } }
}

function headerField(name: string, description: string): object {
  return { name, in: 'header', description, schema: { type: 'string' } }
}
