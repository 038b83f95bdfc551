/**
 * The OpenAPI 3.1 document of the admin API, made from the schemas that check bodies and describe answers.
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
    summary: 'All routes, with what is happening on each',
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
  { method: 'get', path: '/routes/{id}', summary: 'One route', answers: { 200: schemas.routeAnswer } },
  {
    method: 'put',
    path: '/routes/{id}',
    summary: 'Replace a route, or add it',
    body: routeBody,
    edits: true,
    answers: { 200: written(schemas.routeAnswer), 201: schemas.routeAnswer },
  },
  {
    method: 'patch',
    path: '/routes/{id}',
    summary: 'Change a route, its percent for one',
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
  { method: 'get', path: '/routes.yaml', summary: 'The text in force', answers: { 200: YAML_TYPE, 304: '' } },
  {
    method: 'put',
    path: '/routes.yaml',
    summary: 'Replace the whole text',
    body: text,
    edits: true,
    answers: { 200: written(schemas.doneAnswer) },
  },
  {
    method: 'get',
    path: '/upstreams',
    summary: 'All upstreams and their servers',
    answers: { 200: schemas.upstreamsAnswer },
  },
  { method: 'get', path: '/upstreams/{name}', summary: 'One upstream', answers: { 200: schemas.upstreamAnswer } },
  ...SERVER_OPERATIONS,
  {
    method: 'get',
    path: '/revisions',
    summary: 'The revisions that are kept',
    answers: { 200: schemas.revisionsAnswer },
  },
  {
    method: 'get',
    path: '/revisions/{number}',
    summary: 'One revision, and what it changed',
    answers: { 200: schemas.revisionAnswer },
  },
  { method: 'get', path: '/revisions/{number}/routes.yaml', summary: 'Its text', answers: { 200: YAML_TYPE } },
  {
    method: 'get',
    path: '/revisions/{number}/overwritten',
    summary: 'The refused text that a forced revision was written over',
    answers: { 200: 'application/octet-stream' },
  },
  {
    method: 'post',
    path: '/revisions/{number}/restore',
    summary: 'Make its text the table again',
    body: nothing,
    edits: true,
    answers: { 200: written(schemas.doneAnswer) },
  },
  {
    method: 'post',
    path: '/explain',
    summary: 'Where a request would go, and why',
    body: { types: [JSON_TYPE], schema: explainBody },
    answers: { 200: schemas.explainAnswer },
  },
  { method: 'get', path: '/exchanges', summary: 'The last exchanges', answers: { 200: schemas.exchangesAnswer } },
  {
    method: 'get',
    path: '/exchanges/{id}',
    summary: 'One of them, by request id, explained',
    answers: { 200: schemas.exchangeAnswer },
  },
  {
    method: 'get',
    path: '/cache',
    summary: 'What the cache holds and has done',
    answers: { 200: schemas.cacheAnswer },
  },
  {
    method: 'post',
    path: '/cache/purge',
    summary: 'Take answers out of the cache, in every process',
    body: { types: [JSON_TYPE], schema: purgeBody },
    answers: { 200: schemas.purgeAnswer },
  },
  {
    method: 'get',
    path: '/metrics',
    summary: "All figures in Prometheus' text format",
    answers: { 200: 'text/plain' },
  },
  { method: 'get', path: '/livez', summary: 'The process lives', open: true, answers: { 200: schemas.livezAnswer } },
  {
    method: 'get',
    path: '/readyz',
    summary: 'Whether requests may be sent here',
    open: true,
    answers: { 200: schemas.readyzAnswer, 503: schemas.readyzAnswer },
  },
  {
    method: 'get',
    path: '/openapi.json',
    summary: 'This document',
    answers: { 200: z.record(z.string(), z.unknown()) },
  },
]

const EDIT_PARAMETERS = [
  queryFlag('dryRun', 'Only tell what would change.'),
  queryFlag('force', 'Write over a table file that is refused; the history keeps what it holds.'),
  headerField(
    'If-Match',
    'The ETag of the revision that the edit is made for; another gets 412. * asks a PUT to find the route.',
  ),
  headerField('If-None-Match', '* with PUT of a route: only where there is none of its id yet; else 412.'),
  headerField('Banyan-Reason', 'Why, up to 500 characters; kept with the revision.'),
]

/** The document, made once. */
export const OPENAPI: Readonly<Record<string, unknown>> = Object.freeze({
  openapi: '3.1.0',
  info: {
    title: 'banyan admin API',
    version: '1',
    description: 'Tells what the proxy does, and edits its table: routes.yaml is the one truth.',
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
        description: 'Refused: problem+json (RFC 9457).',
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
  if (answer === '') return { description: 'As you have it.' }
  const [type, schema] =
    typeof answer === 'string' ? [answer, { type: 'string' }] : [JSON_TYPE, schemaOf(answer, 'output')]
  return { description: 'Done.', content: { [type]: { schema } } }
}

/** JSON Schema 2020-12, which OpenAPI 3.1 takes as it is. */
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
