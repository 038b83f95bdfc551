/**
 * Every way to change the table by the API: what lands in the file, what is refused, and what a dry run tells.
 */
import { execFileSync } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AdminRig, type Ask, adminRig, TABLE } from '../rig.ts'

let at: AdminRig

beforeEach(async () => {
  at = await adminRig({ keeps: 'disk' })
})
afterEach(() => at.close())

const NEW = { id: 'new', match: { path: '/new/:id' }, to: 'gtin', percent: 1.5 }
const NEW_LINES = '  - id: new\n    match: { path: /new/:id }\n    to: gtin\n    percent: 1.5\n'
const WITH_NEW = TABLE.replace('    to: gtin\n# the end', `    to: gtin\n${NEW_LINES}# the end`)
const INVALID = TABLE.replace('percent: 5 ', 'percent: 500 ')

const yaml = (body: string | Buffer): Ask => ({ body, headers: { 'Content-Type': 'application/yaml' } })

test('POST /routes adds a route at the end of the file', async () => {
  const reply = await at.ask('POST', '/routes', { body: NEW })
  expect(reply.status).toBe(201)
  expect(reply.headers).toMatchObject({ location: '/routes/new', etag: at.live.current.etag })
  expect(reply.json).toMatchObject({ revision: 2, ...NEW, order: 4 })
  expect(await at.text()).toBe(WITH_NEW)
  const again = await at.ask('POST', '/routes', { body: NEW })
  expect(again).toMatchObject({ status: 409, json: { type: 'urn:banyan:problem:route-exists' } })
})

test('POST /routes needs an id, and tells each error at its pointer', async () => {
  const { id, ...nameless } = NEW
  expect(id).toBe('new')
  expect(await at.ask('POST', '/routes', { body: nameless })).toMatchObject({
    status: 422,
    json: { errors: [{ pointer: '/id' }] },
  })
  const reply = await at.ask('POST', '/routes', { body: { ...NEW, to: 'nowhere', percent: '5' } })
  expect(reply.json.errors.map((error: { pointer: string }) => error.pointer)).toEqual(['/to', '/percent'])
  expect(await at.text()).toBe(TABLE)
})

test('a route that nothing tells apart from another is refused, at its match', async () => {
  const reply = await at.ask('POST', '/routes', { body: { ...NEW, match: { path: '/search' } } })
  expect(reply.status).toBe(422)
  expect(reply.json.errors).toMatchObject([{ pointer: '/match', detail: expect.stringContaining('search') }])
})

test('PUT /routes/:id creates, and replaces where the route stands', async () => {
  const { id, ...body } = NEW
  const created = await at.ask('PUT', `/routes/${id}`, { body })
  expect(created).toMatchObject({ status: 201, headers: { location: '/routes/new' } })
  expect(await at.text()).toBe(WITH_NEW)
  const replaced = await at.ask('PUT', '/routes/search', {
    body: { id: 'search', match: { path: '/find' }, to: 'gtin' },
  })
  expect(replaced).toMatchObject({ status: 200, json: { percent: 0, match: { path: '/find' }, order: 2 } })
  expect(await at.text()).toBe(
    WITH_NEW.replace(
      '- { id: search, match: { path: /search }, to: gtin, percent: 100 }',
      '- { id: search, match: { path: /find }, to: gtin }',
    ),
  )
})

test('PUT with If-None-Match: * only adds, with If-Match: * only replaces', async () => {
  const body = { match: { path: '/put' }, to: 'gtin' }
  const put = (id: string, headers: Record<string, string>) => at.ask('PUT', `/routes/${id}`, { body, headers })
  const unmet = { status: 412, json: { type: 'urn:banyan:problem:unmet' } }
  expect(await put('search', { 'If-None-Match': '*' })).toMatchObject(unmet)
  expect(await put('put', { 'If-Match': '*' })).toMatchObject(unmet)
  expect(await at.text()).toBe(TABLE)
  expect((await put('put', { 'If-None-Match': '*' })).status).toBe(201)
  expect((await put('put', { 'If-Match': '*' })).status).toBe(200)
  for (const [method, path, field] of [
    ['PUT', '/routes/put', at.live.current.etag],
    ['PATCH', '/routes/put', '*'],
    ['DELETE', '/routes/put', '*'],
    ['POST', '/routes', '*'],
  ] as const) {
    const sent = method === 'DELETE' ? {} : { body: { id: 'put', ...body } }
    const reply = await at.ask(method, path, { headers: { 'If-None-Match': field }, ...sent })
    expect(reply, method).toMatchObject({ status: 400, json: { type: 'urn:banyan:problem:malformed-field' } })
  }
  expect(at.live.current.number).toBe(2)
})

test('what GET gives may be PUT back, and changes nothing', async () => {
  for (const id of ['gtin-lookup', 'search', 'reviews']) {
    const { json } = await at.ask('GET', `/routes/${id}`)
    // A percent that the file leaves out is written out by GET.
    const body = id === 'reviews' ? { ...json, percent: undefined } : json
    expect(await at.ask('PUT', `/routes/${id}`, { body })).toMatchObject({ status: 200, json: { revision: 1 } })
  }
  expect(await at.text()).toBe(TABLE)
})

test('PUT with another id than the path is refused', async () => {
  expect(await at.ask('PUT', '/routes/search', { body: NEW })).toMatchObject({
    status: 422,
    json: { errors: [{ pointer: '/id' }] },
  })
})

test('PATCH is a JSON Merge Patch: members replace, null removes, objects merge', async () => {
  const patch = { percent: null, sticky: 'ip', match: { methods: null, headers: { 'x-beta': true } } }
  const reply = await at.ask('PATCH', '/routes/gtin-lookup', { body: patch })
  expect(reply.json).toMatchObject({
    percent: 0,
    sticky: 'ip',
    match: { path: '/stores/:storeId/gtins/:gtin', headers: { 'x-beta': true } },
  })
  expect(reply.json.match.methods).toBeUndefined()
  expect(await at.text()).toContain('# moved first')
  expect(await at.ask('PATCH', '/routes/gtin-lookup', { body: {} })).toMatchObject({
    status: 200,
    json: { revision: 2 },
  })
  expect(await at.ask('PATCH', '/routes/nowhere', { body: {} })).toMatchObject({ status: 404 })
})

test('DELETE removes a route with its lines', async () => {
  const reply = await at.ask('DELETE', '/routes/search')
  expect(reply).toMatchObject({ status: 200, json: { revision: 2, removed: 'search', etag: at.live.current.etag } })
  expect(await at.text()).toBe(TABLE.replace(/ {2}- \{ id: search.*\n/, ''))
  expect(await at.ask('DELETE', '/routes/search')).toMatchObject({ status: 404 })
})

test('PUT /routes.yaml makes this the text, byte for byte', async () => {
  const text = `\uFEFF${TABLE.replaceAll('\n', '\r\n')}# and more\r\n`
  const reply = await at.ask('PUT', '/routes.yaml', yaml(text))
  expect(reply).toMatchObject({ status: 200, json: { revision: 2, changed: true, changes: [] } })
  expect(await at.text()).toBe(text)
  expect(await at.ask('PUT', '/routes.yaml', yaml(text))).toMatchObject({ json: { revision: 2, changed: false } })
})

test('an invalid text gets 422 with line, column and pointer of each error', async () => {
  const reply = await at.ask('PUT', '/routes.yaml', yaml(INVALID))
  expect(reply).toMatchObject({
    status: 422,
    json: { problems: [{ pointer: '/routes/0/percent', line: 20, column: 14 }] },
  })
  for (const body of ['', '{', '- 1', 'version: 1', '\u0000']) {
    const { status, json } = await at.ask('PUT', '/routes.yaml', yaml(body))
    expect(status, JSON.stringify(body)).toBe(422)
    expect(json.problems.length).toBeGreaterThan(0)
  }
  expect(await at.ask('PUT', '/routes.yaml', yaml(Buffer.from([0xff])))).toMatchObject({ status: 400 })
  expect(await at.ask('PUT', '/routes.yaml', { body: TABLE, headers: { 'Content-Type': 'text/plain' } })).toMatchObject(
    {
      status: 415,
      headers: { accept: 'application/yaml, application/x-yaml, text/yaml' },
    },
  )
  expect(await at.text()).toBe(TABLE)
})

test('a dry run tells what would change, and changes nothing', async () => {
  const before = await at.ask('GET', '/routes.yaml')
  const reply = await at.ask('PATCH', '/routes/gtin-lookup?dryRun=true', { body: { percent: 50 } })
  expect(reply.status).toBe(200)
  expect(reply.headers.etag).toBe(before.headers.etag)
  expect(reply.json).toMatchObject({
    dryRun: true,
    revision: 1,
    changed: true,
    changes: [
      { what: 'route', name: 'gtin-lookup', change: 'changed', keys: [{ key: 'percent', before: 5, after: 50 }] },
    ],
    warnings: [],
    simulation: { exchanges: 0, moved: 0 },
  })
  expect(reply.json.diff).toContain('+    percent: 50 ')
  for (const [method, path, how] of [
    ['POST', '/routes', { body: NEW }],
    ['PUT', '/routes/new', { body: NEW }],
    ['DELETE', '/routes/search', {}],
    ['PUT', '/routes.yaml', yaml(WITH_NEW)],
    ['POST', '/revisions/1/restore', {}],
  ] as const) {
    expect(await at.ask(method, `${path}?dryRun=true`, how), path).toMatchObject({
      status: 200,
      json: { dryRun: true },
    })
  }
  const invalid = await at.ask('PATCH', '/routes/search?dryRun=true', { body: { percent: 500 } })
  expect(invalid).toMatchObject({ status: 422, json: { errors: [{ pointer: '/percent' }] } })
  expect(await at.text()).toBe(TABLE)
  expect(at.live.current.number).toBe(1)
  expect(at.lines.filter(({ fields }) => fields.event === 'admin-write')).toEqual([])
})

test('a slip in the query is refused before it makes a dry run a real edit', async () => {
  for (const [query, detail] of [
    ['dryrun=true', 'did you mean `dryRun`?'],
    ['dryRun=yes', 'dryRun must be true or false.'],
    ['x', 'Unknown parameter "x".'],
  ] as const) {
    const { status, json } = await at.ask('PATCH', `/routes/search?${query}`, { body: { percent: 1 } })
    expect([status, json.type], query).toEqual([400, 'urn:banyan:problem:malformed-query'])
    expect(json.detail).toContain(detail)
  }
  expect(await at.text()).toBe(TABLE)
})

test('force writes over an invalid file, and the history keeps what it held', async () => {
  await writeFile(at.path, INVALID)
  const refused = await at.ask('PATCH', '/routes/search', { body: { percent: 7 } })
  expect(refused).toMatchObject({
    status: 409,
    json: { problems: [{ line: 20 }], hint: expect.stringContaining('force=true') },
  })
  const reply = await at.ask('PATCH', '/routes/search?force=true', { body: { percent: 7 } })
  expect(reply).toMatchObject({ status: 200, json: { revision: 2, percent: 7 } })
  expect(await at.text()).toBe(TABLE.replace('percent: 100', 'percent: 7'))
  expect(at.live.refusal).toBeNull()
  expect((await at.ask('GET', '/revisions/2')).json).toMatchObject({ forced: true })
  expect((await at.ask('GET', '/revisions/2/overwritten')).text).toBe(INVALID)
  expect(await at.ask('GET', '/revisions/1/overwritten')).toMatchObject({ status: 404 })
})

test('force with what is in force is a revision too: nothing else would keep what the file held', async () => {
  await writeFile(at.path, INVALID)
  const yaml = { headers: { 'Content-Type': 'application/yaml' }, body: TABLE }
  expect((await at.ask('PUT', '/routes.yaml?force=true&dryRun=true', yaml)).json).toMatchObject({
    changed: true,
    changes: [],
  })
  expect(await at.text()).toBe(INVALID)
  expect((await at.ask('PUT', '/routes.yaml?force=true', yaml)).json).toMatchObject({
    revision: 2,
    changed: true,
    changes: [],
  })
  expect(await at.text()).toBe(TABLE)
  expect((await at.ask('GET', '/revisions/2/overwritten')).text).toBe(INVALID)
  // Once the file is good, force is as good as nothing.
  expect((await at.ask('PUT', '/routes.yaml?force=true', yaml)).json).toMatchObject({ revision: 2, changed: false })
})

test('force makes a file anew that is gone, and only force does', async () => {
  await chmod(at.path, 0o600)
  expect((await at.ask('PATCH', '/routes/search', { body: { percent: 99 } })).status).toBe(200)
  await at.ask('PATCH', '/routes/search', { body: { percent: 100 } })
  await rm(at.path)
  expect(await at.ask('PATCH', '/routes/search', { body: { percent: 7 } })).toMatchObject({ status: 409 })
  expect(await readdir(at.folder)).toEqual(['.banyan'])
  expect(await at.ask('PATCH', '/routes/search?force=true', { body: { percent: 7 } })).toMatchObject({ status: 200 })
  expect(await at.text()).toBe(TABLE.replace('percent: 100', 'percent: 7'))
  // It is for nobody else than the one before was.
  expect((await stat(at.path)).mode & 0o777).toBe(0o600)
})

test('the folder with the history is for nobody else', async () => {
  await at.ask('PATCH', '/routes/search', { body: { percent: 7 } })
  for (const folder of ['.banyan', '.banyan/routes.yaml']) {
    expect((await stat(join(at.folder, folder))).mode & 0o777).toBe(0o700)
  }
})

test.each<[string, (path: string) => unknown, string]>([
  ['a folder', (path) => mkdir(path), 'is a directory'],
  ['a pipe', (path) => execFileSync('mkfifo', [path]), 'is not a regular file'],
  ['a link to itself', (path) => symlink(path, path), 'ELOOP'],
  ['a link into a file', (path) => symlink('/etc/hostname/x', path), 'ENOTDIR'],
])('%s in the place of the table is a 409 that names it, with force too', async (_, make, why) => {
  await rm(at.path)
  await make(at.path)
  for (const force of ['', '?force=true']) {
    const reply = await at.ask('PATCH', `/routes/search${force}`, { body: { percent: 7 } })
    expect(reply.status).toBe(409)
  }
  const { json } = await at.ask('PATCH', '/routes/search?force=true', { body: { percent: 7 } })
  expect(json).toMatchObject({ type: 'urn:banyan:problem:table-not-a-file' })
  expect(json.detail).toContain(at.path)
  expect(json.detail).toContain(why)
})

test('an empty If-Match or If-None-Match is malformed: it is no list, and not the same as none', async () => {
  for (const name of ['If-Match', 'If-None-Match']) {
    const reply = await at.ask('PUT', '/routes/new', { body: NEW, headers: { [name]: '' } })
    expect(reply).toMatchObject({ status: 400, json: { type: 'urn:banyan:problem:malformed-field' } })
  }
  expect(await at.text()).toBe(TABLE)
})

test('a number beyond all is told where it stands', async () => {
  const headers = { 'Content-Type': 'application/json' }
  for (const body of ['{"percent": 1e400}', '{"percent": -1e999}']) {
    expect(await at.ask('PATCH', '/routes/search', { body: Buffer.from(body), headers })).toMatchObject({
      status: 400,
      json: { type: 'urn:banyan:problem:malformed-json', line: 1, column: 13 },
    })
  }
})

test('with requireIfMatch a write must say which revision it was made for', async () => {
  await at.close()
  at = await adminRig({ requireIfMatch: true })
  const reply = await at.ask('PATCH', '/routes/search', { body: { percent: 7 } })
  expect(reply).toMatchObject({ status: 428, json: { type: 'urn:banyan:problem:if-match-needed' } })
  const headers = { 'If-Match': reply.headers.etag as string }
  expect(await at.ask('PATCH', '/routes/search', { body: { percent: 7 }, headers })).toMatchObject({ status: 200 })
})

test('revisions: who, when, why, what; and any of them can be had back', async () => {
  await at.ask('PATCH', '/routes/search', { body: { percent: 7 }, headers: { 'Banyan-Reason': 'p99 is fine' } })
  await writeFile(at.path, (await at.text()).replace('percent: 7', 'percent: 8'))
  await at.ask('PATCH', '/routes/reviews', { body: { percent: 9 } })
  const list = await at.ask('GET', '/revisions')
  expect(list.json).toMatchObject({
    current: 4,
    problem: null,
    revisions: [
      { revision: 4, author: 'anonymous', reason: null },
      { revision: 3, author: 'file', reason: null },
      { revision: 2, author: 'anonymous', reason: 'p99 is fine', at: '1970-01-01T00:00:02.000Z' },
      { revision: 1, author: 'file', reason: null },
    ],
  })
  const second = (await at.ask('GET', '/revisions/2')).json
  expect(second).toMatchObject({
    revision: 2,
    changes: [{ name: 'search', keys: [{ key: 'percent', before: 100, after: 7 }] }],
  })
  expect(second.diff).toContain('-  - { id: search, match: { path: /search }, to: gtin, percent: 100 }')
  expect((await at.ask('GET', '/revisions/1')).json).toMatchObject({ changes: null, diff: null, text: TABLE })
  const restored = await at.ask('POST', '/revisions/1/restore')
  expect(restored).toMatchObject({ status: 200, json: { revision: 5, changed: true } })
  expect(await at.text()).toBe(TABLE)
  expect((await at.ask('GET', '/revisions/5')).json).toMatchObject({ reason: 'restore of revision 1' })
  expect((await at.ask('GET', '/revisions/5/routes.yaml')).text).toBe(TABLE)
  for (const path of ['/revisions/6', '/revisions/0', '/revisions/x', '/revisions/1e9']) {
    expect((await at.ask('GET', path)).status, path).toBe(404)
  }
  expect(await at.ask('POST', '/revisions/9/restore')).toMatchObject({
    status: 404,
    json: { type: 'urn:banyan:problem:no-such-revision' },
  })
  expect(await at.ask('POST', '/revisions/1/restore', { body: { a: 1 } })).toMatchObject({ status: 422 })
})

describe('one revision among later ones', () => {
  const set = (id: string, percent: number, reason = '') =>
    at.ask('PATCH', `/routes/${id}`, { body: { percent }, headers: { 'Banyan-Reason': reason } })

  test('is undone, and the others stay', async () => {
    await set('gtin-lookup', 50)
    await set('search', 7)
    await set('reviews', 9)
    const dry = await at.ask('POST', '/revisions/3/revert?dryRun=true')
    expect(dry.json).toMatchObject({ dryRun: true, reverted: { first: 3, last: 3 } })
    const { status, json } = await at.ask('POST', '/revisions/3/revert')
    expect([status, json]).toMatchObject([200, { revision: 5, changed: true, reverted: { first: 3, last: 3 } }])
    expect(json.changes).toEqual([
      { what: 'route', name: 'search', change: 'changed', keys: [{ key: 'percent', before: 7, after: 100 }] },
    ])
    const only = TABLE.replace('percent: 5 ', 'percent: 50 ').replace(
      'to: gtin\n# the end',
      'to: gtin\n    percent: 9\n# the end',
    )
    expect(await at.text()).toBe(only)
    expect((await at.ask('GET', '/revisions/5')).json.reason).toBe('revert of revision 3')
    expect((await at.ask('POST', '/revisions/3/revert')).json).toMatchObject({ revision: 5, changed: false })
  })

  test('may be several in a row, undone at once', async () => {
    await set('gtin-lookup', 50)
    await set('search', 7)
    await set('search', 8)
    await set('reviews', 9)
    const { status, json } = await at.ask('POST', '/revisions/3-4/revert')
    expect([status, json]).toMatchObject([200, { revision: 6, reverted: { first: 3, last: 4 } }])
    expect(json.changes).toEqual([
      { what: 'route', name: 'search', change: 'changed', keys: [{ key: 'percent', before: 8, after: 100 }] },
    ])
    expect((await at.ask('GET', '/revisions/6')).json.reason).toBe('revert of revisions 3 to 4')
    for (const range of ['4-3', '3-99', '3-', '-4', '3-4-5', '0-2']) {
      expect((await at.ask('POST', `/revisions/${range}/revert`)).status, range).toBe(404)
    }
    expect((await at.ask('POST', '/revisions/1-2/revert')).json.type).toBe('urn:banyan:problem:no-predecessor')
  })

  test('is a conflict where somebody has changed the same since, with both sides and who it was', async () => {
    await set('search', 7)
    await set('search', 8)
    await set('reviews', 9)
    const reply = await at.ask('POST', '/revisions/2/revert')
    expect(reply).toMatchObject({ status: 409, json: { type: 'urn:banyan:problem:revert-conflict' } })
    expect(reply.json.conflicts).toMatchObject([
      {
        place: 'routes.search.percent',
        before: '100',
        made: '7',
        now: '8',
        since: { revision: 3, author: 'anonymous' },
      },
    ])
    expect(reply.json.detail).toBe(
      'Revision 2 made routes.search.percent 7 (before: 100), and it was made 8 by anonymous in revision 3; nothing was changed.',
    )
    expect(at.live.current.number).toBe(4)
  })

  test('is refused where the result would be no valid table', async () => {
    await at.ask('PUT', '/routes.yaml', {
      body: TABLE.replace('default: legacy', '  third: { servers: [http://127.0.0.1:4009] }\ndefault: legacy'),
      headers: { 'Content-Type': 'application/yaml' },
    })
    await at.ask('PATCH', '/routes/search', { body: { to: 'third' } })
    const { status, json } = await at.ask('POST', '/revisions/2/revert')
    expect([status, json.problems?.[0]?.message]).toEqual([422, 'unknown upstream "third"'])
  })

  test('is listed with what it changed; by author, route and time', async () => {
    await set('search', 7, 'slow')
    await set('reviews', 9)
    const list = async (query: string) =>
      (await at.ask('GET', `/revisions?${query}`)).json.revisions.map((one: { revision: number }) => one.revision)
    const [, second] = (await at.ask('GET', '/revisions')).json.revisions
    expect(second).toMatchObject({
      revision: 2,
      run: 2,
      kept: null,
      summary: {
        changes: [
          { what: 'route', name: 'search', change: 'changed', keys: [{ key: 'percent', before: '100', after: '7' }] },
        ],
        more: 0,
      },
    })
    expect(await list('author=anonymous')).toEqual([3, 2])
    expect(await list('route=search')).toEqual([2, 1])
    expect(await list('since=1970-01-01T00:00:02Z')).toEqual([3, 2])
    expect(await list('since=59s')).toEqual([3, 2])
    expect(await list('since=1s')).toEqual([])
    for (const query of ['since=yesterday', 'since=5', 'author=a&autor=b'])
      expect((await at.ask('GET', `/revisions?${query}`)).status, query).toBe(400)
    expect((await at.ask('GET', '/revisions/3?against=1')).json.changes).toHaveLength(2)
    expect((await at.ask('GET', '/revisions/3?against=9')).status).toBe(404)
    expect((await at.ask('GET', '/revisions/3?against=x')).status).toBe(400)
  })

  test('restoring an earlier one names what it takes back', async () => {
    await set('search', 7, 'slow')
    await set('reviews', 9)
    const dry = (await at.ask('POST', '/revisions/1/restore?dryRun=true')).json
    const { json } = await at.ask('POST', '/revisions/1/restore')
    for (const one of [dry, json]) {
      expect(one.undoes).toMatchObject([
        { revision: 3, author: 'anonymous', yours: false, reason: null },
        { revision: 2, reason: 'slow', summary: { changes: [{ name: 'search' }] } },
      ])
    }
  })

  test('is kept when marked; that is logged with who did it', async () => {
    await set('search', 7)
    const headers = { 'Banyan-Reason': 'before the season' }
    const { status, json } = await at.ask('PUT', '/revisions/2/keep', { headers })
    expect([status, json]).toMatchObject([
      200,
      { revision: 2, kept: { by: 'anonymous', reason: 'before the season', at: '1970-01-01T00:01:01.000Z' } },
    ])
    expect(at.lines.at(-1)).toMatchObject({ fields: { event: 'admin-keep', author: 'anonymous', revision: 2 } })
    expect((await at.ask('DELETE', '/revisions/2/keep')).json.kept).toBeNull()
    expect((await at.ask('PUT', '/revisions/8/keep')).status).toBe(404)
    expect((await at.ask('PUT', '/revisions/2/keep?dryRun=true')).status).toBe(400)
  })
})

test('without If-Match the last writer wins, and the history shows both', async () => {
  const percents = Array.from({ length: 50 }, (_, at) => at + 10)
  const replies = await Promise.all(percents.map((percent) => at.ask('PATCH', '/routes/search', { body: { percent } })))
  expect(replies.map(({ status }) => status)).toEqual(percents.map(() => 200))
  const { revisions } = (await at.ask('GET', '/revisions')).json
  expect(revisions.map(({ revision }: { revision: number }) => revision)).toEqual(
    percents.map((_, at) => 51 - at).concat(1),
  )
  const last = replies.find(({ json }) => json.revision === 51)?.json.percent
  expect(await at.text()).toBe(TABLE.replace('percent: 100', `percent: ${last}`))
  const texts = await Promise.all(revisions.map(({ revision }: { revision: number }) => at.history.textOf(revision)))
  expect(new Set(texts).size).toBe(51)
})

test('the history lies beside the table, is none of git, and an operator can read it', async () => {
  await at.ask('PATCH', '/routes/search', { body: { percent: 7 } })
  const folder = join(at.folder, '.banyan')
  expect((await readdir(folder)).sort()).toEqual(['.gitignore', 'routes.yaml'])
  expect((await readdir(join(folder, 'routes.yaml'))).sort()).toEqual(['1.yaml', '2.yaml'])
  const [head, ...text] = (await readFile(join(folder, 'routes.yaml/2.yaml'), 'utf8')).split('\n')
  expect(head).toMatch(/^# banyan \{"number":2,/)
  expect(text.join('\n')).toBe(await at.text())
})
