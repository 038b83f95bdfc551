/**
 * The OpenAPI document against the server: each path is there, and each real answer is what its schema says, and no more.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { UsageTally } from '../../../src/state/discovery/usage-tally.ts'
import { Tally } from '../../../src/state/evidence/tally.ts'
import type { ExchangeRecord } from '../../../src/state/figures/cell.ts'
import { Measurements } from '../../../src/state/figures/measurements.ts'
import { type AdminRig, type Ask, adminRig, type Reply, TABLE } from '../rig.ts'

let at: AdminRig
// biome-ignore lint/suspicious/noExplicitAny: a document of that depth
let document: any
const answered = new Set<string>()
const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })

beforeAll(async () => {
  const measurements = new Measurements()
  at = await adminRig({ keeps: 'disk', measurements, tally: compared(), usage: used() })
  fill(measurements)
  document = (await at.ask('GET', '/openapi.json')).json
  ajv.addSchema(document, 'api')
})
afterAll(() => at.close())

function used(): UsageTally {
  const usage = new UsageTally()
  const caller = () => ({ agent: 'job', network: '10.0.0.0/24' })
  const seen = { method: 'GET', target: '/stores/1', status: 200, isAnswered: true, isAmbiguous: false, durationMs: 2 }
  usage.unclaimed({ ...seen, ignoresCase: false, caller }, 61_000)
  usage.late('search', caller(), 61_000)
  return usage
}

/** Some traffic, so that no figure is absent. */
function fill(measurements: Measurements): void {
  const decision = {
    routeId: 'gtin-lookup',
    upstream: 'gtin',
    reason: 'percent',
    bucket: 3,
    percent: 5,
    sticky: 'cookie:sid',
  } as const
  const how = { cache: 'miss', failure: 'connect', durationMs: 3, retries: 1, fallbackOn: null, side: 'to' } as const
  const record: ExchangeRecord = { decision, status: 502, ...how }
  measurements.tick(0)
  for (const routeId of ['gtin-lookup', 'search', null])
    measurements.count({ ...record, decision: { ...decision, routeId } })
  measurements.tick(10_000)
  measurements.count(record)
  measurements.attempted('gtin-lookup', 'gtin', 'percent', 'connect', 3)
  const view = {
    method: 'GET',
    target: '/stores/1/gtins/2',
    host: 'a.test',
    rawHeaders: ['Cookie', 'sid=1'],
    clientAddress: '::1',
    chance: 0.5,
  }
  measurements.recent.add({ ...record, id: 'abc-1', atMs: 5, view, revision: 1, server: null })
}

/** Evidence, so that none is absent. */
function compared(): Tally {
  const tally = new Tally()
  const differences = [{ path: '/price', kind: 'value', from: null, to: '2' }] as const
  tally.compared('gtin-lookup', { differences, bodyCompared: true, isCut: false, note: null }, 5)
  const comparison = { differences, bodyCompared: true, isCut: false, note: null }
  tally.askedAgain('gtin-lookup', comparison, true, comparison, 5)
  tally.failed('gtin-lookup', 'connect', 5)
  tally.skipped('gtin-lookup', 'busy', 5)
  const what = { route: 'gtin-lookup', atMs: 5, method: 'GET', target: '/', revision: 1, note: null }
  tally.keep({ id: 'abc-1', ...what, differences })
  return tally
}

/** The validator for what lies at these steps into the document. */
function validator(...steps: string[]): ValidateFunction {
  const pointer = steps.map((step) => encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')
  return ajv.getSchema(`api#/${pointer}`) ?? ajv.compile({ $ref: `api#/${pointer}` })
}

/** Asks, and holds the answer to the document's schema for its path, method, status and media type. */
async function ask(
  method: string,
  template: string,
  values: Record<string, string> = {},
  how: Ask & { query?: string } = {},
): Promise<Reply> {
  const path = template.replaceAll(/\{([a-z]+)\}/g, (_, name: string) => values[name] as string)
  const reply = await at.ask(method, `${path}${how.query ?? ''}`, how)
  const operation = document.paths[template]?.[method.toLowerCase()]
  expect(operation, `${method} ${template} is described`).toBeDefined()
  answered.add(`${method} ${template}`)
  if (reply.status === 304) return reply
  const type = (reply.headers['content-type'] ?? '').split(';')[0] as string
  const isProblem = reply.status >= 400 && operation.responses[reply.status] === undefined
  if (isProblem)
    expect(operation.responses[`${String(reply.status)[0]}XX`]).toEqual({ $ref: '#/components/responses/Problem' })
  const response = isProblem
    ? ['components', 'responses', 'Problem']
    : ['paths', template, method.toLowerCase(), 'responses', String(reply.status)]
  const described = response.reduce((part, step) => part?.[step], document)?.content?.[type]?.schema
  expect(described, `${method} ${template} ${reply.status} ${type}`).toBeDefined()
  if (reply.json === null) return reply
  const isValid = validator(...response, 'content', type, 'schema')
  isValid(reply.json)
  expect(isValid.errors ?? [], `${method} ${path} ${reply.status}`).toEqual([])
  return reply
}

const yaml = (body: string): Ask => ({ body, headers: { 'Content-Type': 'application/yaml' } })
const NEW = { id: 'new', match: { path: '/new' }, to: 'gtin' }

test('is OpenAPI 3.1, of JSON Schema 2020-12 alone', () => {
  expect(document.openapi).toMatch(/^3\.1\./)
  expect(JSON.stringify(document)).not.toContain('"nullable"')
})

test('says each schema once, as a component', () => {
  const { paths, components } = document
  const names = Object.keys(components.schemas)
  expect(names).toEqual(expect.arrayContaining(['Route', 'UpstreamState', 'DryRun', 'Problem']))
  for (const name of names) expect(JSON.stringify(document), name).toContain(`"#/components/schemas/${name}"`)
  expect(JSON.stringify(paths)).not.toContain('"properties":{"id"')
  // With every schema in its place it was 744 KB.
  expect(JSON.stringify(document).length).toBeLessThan(185_000)
})

test('redocly finds nothing to say about it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'banyan-openapi-'))
  try {
    const file = join(folder, 'openapi.json')
    await writeFile(file, JSON.stringify(document))
    const program = join(import.meta.dirname, '../../../node_modules/.bin/redocly')
    const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
    const lint = [program, 'lint', '--extends', 'recommended', '--format', 'json', file]
    const { stdout } = await promisify(execFile)(process.execPath, lint, { env, cwd: folder })
    expect(JSON.parse(stdout).problems).toEqual([])
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('each operation has an id of its own', () => {
  const ids = Object.values(document.paths as Record<string, Record<string, { operationId: string }>>).flatMap((path) =>
    Object.values(path).map(({ operationId }) => operationId),
  )
  expect(ids.filter((id) => !/^[a-z]+[A-Z]\w+$/.test(id))).toEqual([])
  expect(new Set(ids).size).toBe(ids.length)
})

test('its schemas refuse what they do not name', async () => {
  const { json } = await ask('GET', '/routes/{id}', { id: 'search' })
  const isValid = validator('paths', '/routes/{id}', 'get', 'responses', '200', 'content', 'application/json', 'schema')
  expect(isValid(json)).toBe(true)
  expect(isValid({ ...json, more: 1 })).toBe(false)
  expect(isValid({ ...json, live: { ...json.live, more: 1 } })).toBe(false)
  expect(isValid({ ...json, percent: '5' })).toBe(false)
  expect(isValid({ ...json, order: undefined })).toBe(false)
})

test('questions', async () => {
  for (const path of [
    '/routes',
    '/upstreams',
    '/revisions',
    '/exchanges',
    '/cache',
    '/routes.yaml',
    '/metrics',
    '/livez',
    '/readyz',
    '/discovered',
    '/progress',
    '/retirement',
    '/openapi.json',
    '/routes.schema.json',
  ]) {
    expect((await ask('GET', path)).status, path).toBe(200)
  }
  await ask('GET', '/routes/{id}', { id: 'gtin-lookup' })
  await ask('GET', '/routes/{id}', { id: 'nowhere' })
  for (const id of ['gtin-lookup', 'nowhere']) await ask('GET', '/routes/{id}/history', { id })
  await ask('GET', '/upstreams/{name}', { name: 'gtin' })
  await ask('GET', '/upstreams/{name}', { name: 'gtni' })
  await ask('GET', '/exchanges/{id}', { id: 'abc-1' })
  await ask('GET', '/exchanges/{id}', { id: 'abc-2' })
  for (const id of ['gtin-lookup', 'search', 'nowhere']) await ask('GET', '/routes/{id}/comparisons', { id })
  for (const id of ['abc-1', 'abc-2']) await ask('GET', '/samples/{id}', { id })
  const { endpoints } = (await ask('GET', '/discovered', {}, { query: '?since=1d' })).json
  await ask('GET', '/discovered/{id}', { id: endpoints[0].id })
  await ask('GET', '/discovered/{id}', { id: 'nothing' })
  for (const id of ['gtin-lookup', 'search', 'nowhere']) await ask('GET', '/routes/{id}/retirement', { id })
  const { headers } = await ask('GET', '/routes.yaml')
  expect((await ask('GET', '/routes.yaml', {}, { headers: { 'If-None-Match': headers.etag as string } })).status).toBe(
    304,
  )
  for (const url of ['/stores/1/gtins/2', '/nowhere', '/a//b', 'no url'])
    await ask('POST', '/explain', {}, { body: { url } })
})

test('servers, in the table and under a lease', async () => {
  const one = '/upstreams/{name}/servers/{id}'
  const blue = { name: 'gtin', id: 'blue' }
  const body = { url: 'http://127.0.0.1:4009', weight: 2 }
  await ask('GET', '/upstreams/{name}/servers', { name: 'gtin' })
  expect((await ask('PUT', one, blue, { body, query: '?dryRun=true' })).json.dryRun).toBe(true)
  expect((await ask('PUT', one, blue, { body })).status).toBe(201)
  expect((await ask('PUT', one, blue, { body: { ...body, weight: 3 } })).status).toBe(200)
  expect((await ask('PUT', one, blue, { body: { ...body, weight: 'x' } })).status).toBe(422)
  expect((await ask('PATCH', one, blue, { body: { weight: 4 } })).status).toBe(200)
  expect((await ask('GET', one, blue)).json).toMatchObject({ weight: 4 })
  expect((await ask('POST', `${one}/drain`, blue, { query: '?wait=1s' })).json).toMatchObject({
    drained: true,
    note: null,
  })
  expect((await ask('POST', `${one}/drain`, blue, { query: '?wait=x' })).status).toBe(400)
  expect((await ask('POST', `${one}/undrain`, blue, { body: {} })).status).toBe(200)
  expect((await ask('DELETE', one, blue, { query: '?dryRun=true' })).status).toBe(200)
  expect((await ask('DELETE', one, blue)).status).toBe(200)
  expect((await ask('DELETE', one, blue)).status).toBe(404)
  expect((await ask('DELETE', one, { name: 'legacy', id: '127.0.0.1:4001' })).status).toBe(409)
  const leased = { ...body, url: 'http://127.0.0.1:4010', ttl: '1m' }
  expect((await ask('PUT', one, { name: 'gtin', id: 'lease' }, { body: leased })).json.lease).toMatchObject({
    ttl: '1m',
  })
  expect((await ask('PATCH', one, { name: 'gtin', id: 'lease' }, { body: { weight: 1 } })).status).toBe(409)
  await ask('GET', '/upstreams')
  expect((await ask('DELETE', one, { name: 'gtin', id: 'lease' })).status).toBe(200)
})

test('purges', async () => {
  for (const body of [
    { everything: true },
    { route: 'search' },
    { route: 'search', upstream: 'gtin', soft: true },
    { upstream: 'gtin' },
    { url: '/a?b' },
    { prefix: 'https://a.test/b' },
    { tag: 'x' },
  ]) {
    expect((await ask('POST', '/cache/purge', {}, { body })).status, JSON.stringify(body)).toBe(200)
  }
  for (const [body, pointer] of [
    [{}, ''],
    [{ url: '/a', tag: 'b' }, ''],
    [{ soft: true }, ''],
    [{ route: 'serach' }, '/route'],
    [{ upstream: 'gtni' }, '/upstream'],
    [{ url: 'a b' }, '/url'],
    [{ everything: false }, '/everything'],
    [{ tags: 'x' }, '/tags'],
  ] as const) {
    const { status, json } = await ask('POST', '/cache/purge', {}, { body })
    expect([status, json.errors?.[0]?.pointer], JSON.stringify(body)).toEqual([422, pointer])
  }
})

test('edits, their dry runs, and what refuses them', async () => {
  const query = '?dryRun=true'
  expect((await ask('POST', '/routes', {}, { body: NEW, query })).status).toBe(200)
  expect((await ask('POST', '/routes', {}, { body: NEW })).status).toBe(201)
  expect((await ask('POST', '/routes', {}, { body: NEW })).status).toBe(409)
  expect(
    (await ask('PUT', '/routes/{id}', { id: 'other' }, { body: { match: { path: '/other' }, to: 'gtin' } })).status,
  ).toBe(201)
  expect((await ask('PUT', '/routes/{id}', { id: 'new' }, { body: NEW })).status).toBe(200)
  expect((await ask('PUT', '/routes/{id}', { id: 'new' }, { body: { ...NEW, to: 1 } })).status).toBe(422)
  const { headers, json: patched } = await ask('PATCH', '/routes/{id}', { id: 'new' }, { body: { percent: 5 } })
  await ask('PATCH', '/routes/{id}', { id: 'new' }, { body: { percent: 6 }, query })
  await ask('PATCH', '/routes/{id}', { id: 'new' }, { body: { percent: 6 } })
  const outdated = { body: { percent: 7 }, headers: { 'If-Match': headers.etag as string } }
  expect((await ask('PATCH', '/routes/{id}', { id: 'new' }, outdated)).status).toBe(412)
  expect(
    (await ask('PATCH', '/routes/{id}', { id: 'new' }, { body: '{', headers: { 'Content-Type': 'application/json' } }))
      .status,
  ).toBe(400)
  await ask('DELETE', '/routes/{id}', { id: 'new' }, { query })
  await ask('DELETE', '/routes/{id}', { id: 'new' })
  await ask('DELETE', '/routes/{id}', { id: 'new' })
  expect((await ask('PUT', '/routes.yaml', {}, yaml(`${TABLE}\n#\n`))).status).toBe(200)
  expect((await ask('PUT', '/routes.yaml', {}, { ...yaml(TABLE), query })).status).toBe(200)
  expect((await ask('PUT', '/routes.yaml', {}, yaml('version: 2'))).status).toBe(422)
  await ask('GET', '/revisions')
  await ask('GET', '/revisions/{number}', { number: '2' })
  await ask('GET', '/revisions/{number}', { number: '1' })
  await ask('GET', '/revisions/{number}/routes.yaml', { number: '1' })
  const revision = async (method: string, what: string, number: number, how: Ask & { query?: string } = {}) =>
    (await ask(method, `/revisions/{number}/${what}`, { number: String(number) }, how)).status
  expect(await revision('PUT', 'keep', 2, { headers: { 'Banyan-Reason': 'before the move' } })).toBe(200)
  expect((await ask('GET', '/revisions', {}, { query: '?since=1d&author=anonymous&route=new' })).status).toBe(200)
  expect((await ask('GET', '/revisions', {}, { query: '?sinec=1d' })).status).toBe(400)
  expect((await ask('GET', '/revisions/{number}', { number: '4' }, { query: '?against=1' })).status).toBe(200)
  expect(await revision('DELETE', 'keep', 2)).toBe(200)
  expect(await revision('DELETE', 'keep', 99)).toBe(404)
  expect(await revision('POST', 'revert', patched.revision, { query })).toBe(409)
  expect(await revision('POST', 'revert', 1)).toBe(409)
  const last = at.live.current.number
  expect(await revision('POST', 'revert', last, { query })).toBe(200)
  expect(await revision('POST', 'revert', last)).toBe(200)
  expect(await revision('POST', 'restore', 1, { query })).toBe(200)
  expect(await revision('POST', 'restore', 1)).toBe(200)
  await writeFile(at.path, 'version: 2\n')
  expect((await ask('PATCH', '/routes/{id}', { id: 'search' }, { body: { percent: 5 } })).status).toBe(409)
  await ask('GET', '/readyz')
  await ask('GET', '/status')
  const { json } = await ask('PATCH', '/routes/{id}', { id: 'search' }, { body: { percent: 5 }, query: '?force=true' })
  expect((await ask('GET', '/revisions/{number}/overwritten', { number: String(json.revision) })).text).toBe(
    'version: 2\n',
  )
})

test('ramps', async () => {
  const ramp = { steps: [1, 50], approve: [50] }
  await writeFile(at.path, at.live.current.text)
  expect((await ask('PATCH', '/routes/{id}', { id: 'search' }, { body: { percent: 0, ramp } })).status).toBe(200)
  await ask('GET', '/ramps')
  const id = 'search'
  expect((await ask('GET', '/routes/{id}/ramp', { id })).json).toMatchObject({ status: 'not-started', next: 1 })
  expect((await ask('GET', '/routes/{id}/ramp', { id: 'gtin-lookup' })).status).toBe(404)
  const act = async (name: string, body?: object): Promise<number> =>
    (await ask('POST', `/routes/{id}/ramp/${name}`, { id }, body === undefined ? {} : { body })).status
  expect(await act('pause')).toBe(409)
  expect(await act('start')).toBe(200)
  expect(await act('pause')).toBe(200)
  expect(await act('resume')).toBe(200)
  expect(await act('approve')).toBe(200)
  expect(await act('step', { reason: '' })).toBe(422)
  expect(await act('step', { reason: 'by hand' })).toBe(200)
  expect(await act('abort', { back: 'yes' })).toBe(422)
  expect(await act('abort', { back: true })).toBe(200)
  await ask('GET', '/ramps')
})

test('groups', async () => {
  const edit = { body: { group: 'shoppers' } }
  for (const id of ['search', 'reviews']) expect((await ask('PATCH', '/routes/{id}', { id }, edit)).status).toBe(200)
  const patch = (group: string, percent: number) => ask('PATCH', '/groups/{group}', { group }, { body: { percent } })
  const before = at.live.current.number
  expect((await patch('shoppers', 7)).json).toMatchObject({
    ...{ revision: before + 1, group: 'shoppers', percent: 7 },
    routes: [{ id: 'search' }, { id: 'reviews', before: 0 }],
  })
  expect(at.live.current.table.routes.map(({ percent }) => percent).slice(1)).toEqual([7, 7])
  expect((await patch('shoppers', 101)).status).toBe(422)
  expect((await patch('shoppers', 1.23456)).status).toBe(422)
  expect((await patch('others', 7)).json).toMatchObject({ type: 'urn:banyan:problem:no-such-group' })
})

test('every described operation was asked above', () => {
  const described = Object.entries(document.paths as Record<string, object>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  // A stream without an end: test/control/page reads it.
  expect([...answered, 'GET /live'].sort()).toEqual(described.sort())
})

test('every resource of the server is described', async () => {
  for (const path of Object.keys(document.paths as object)) {
    const { headers } = await at.ask('OPTIONS', path.replaceAll(/\{[a-z]+\}/g, '1'))
    const allowed = (headers.allow ?? '')
      .split(', ')
      .filter((method) => method !== 'HEAD')
      .sort()
    expect(allowed, path).toEqual(
      Object.keys(document.paths[path])
        .map((method) => method.toUpperCase())
        .sort(),
    )
  }
})
