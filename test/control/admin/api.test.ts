/**
 * The admin API over real HTTP: each answer, and each error as problem+json.
 */
import { chmod, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { Planes } from '../../../src/control/figures/planes.ts'
import { type AdminRig, adminRig, type Reply, TABLE } from '../rig.ts'

const NOTHING = expect.objectContaining({ exchanges: 0, p99Ms: null, sides: {} })
const LIVE = expect.objectContaining({ exchanges: 0, lastMinute: NOTHING, lastFiveMinutes: NOTHING })

let at: AdminRig
let readiness = { ready: true, reasons: [] as string[] }

beforeEach(async () => {
  readiness = { ready: true, reasons: [] }
  at = await adminRig({ isReady: () => readiness })
})
afterEach(() => at.close())

function patch(id: string, body: string | object, headers: Record<string, string> = {}): Promise<Reply> {
  const type = { 'Content-Type': 'application/merge-patch+json' }
  return at.ask('PATCH', `/routes/${id}`, { body, headers: { ...type, ...headers } })
}

/** Expects a problem document (RFC 9457) with a request id, and returns it. */
function problem(reply: Reply, status: number, code: string) {
  expect(reply.json).toMatchObject({ type: `urn:banyan:problem:${code}`, status, requestId: expect.any(String) })
  expect(reply.status).toBe(status)
  expect(reply.headers['content-type']).toBe('application/problem+json')
  expect(reply.headers['banyan-request-id']).toBe(reply.json.requestId)
  return reply.json
}

test('GET /routes lists what the table says, with figures and the tag of the revision', async () => {
  const reply = await at.ask('GET', '/routes')
  expect(reply.status).toBe(200)
  expect(reply.headers.etag).toBe(at.live.current.etag)
  expect(reply.json).toMatchObject({ revision: 1, default: 'legacy', live: { unclaimed: { exchanges: 0 } } })
  expect(reply.json.routes).toEqual([
    {
      id: 'gtin-lookup',
      match: { path: '/stores/:storeId/gtins/:gtin', methods: ['GET', 'HEAD'] },
      to: 'gtin',
      percent: 5,
      sticky: ['cookie:sid', 'header:x-client-id'],
      order: 1,
      live: LIVE,
    },
    { id: 'search', match: { path: '/search' }, to: 'gtin', percent: 100, order: 2, live: LIVE },
    { id: 'reviews', match: { path: '/reviews/*' }, to: 'gtin', percent: 0, order: 3, live: LIVE },
  ])
})

test('GET /routes/:id gives one, or says which was meant', async () => {
  const reply = await at.ask('GET', '/routes/search')
  expect(reply.json).toMatchObject({ revision: 1, id: 'search', percent: 100, order: 2 })
  expect(reply.headers['accept-patch']).toContain('application/merge-patch+json')
  const missing = problem(await at.ask('GET', '/routes/gtin-lokup'), 404, 'no-such-route')
  expect(missing.detail).toBe('Unknown route "gtin-lokup": did you mean `gtin-lookup`?')
  const part = problem(await at.ask('GET', '/routes/gtin'), 404, 'no-such-route')
  expect(part.detail).toBe('Unknown route "gtin": did you mean `gtin-lookup`?')
  const strange = problem(await at.ask('GET', '/routes/nothing-of-it'), 404, 'no-such-route')
  expect(strange.detail).toBe('Unknown route "nothing-of-it": must be gtin-lookup, search or reviews.')
})

test('HEAD answers as GET does, without a body', async () => {
  for (const path of ['/routes', '/routes/search', '/routes.yaml', '/livez', '/readyz', '/nowhere']) {
    const [get, head] = [await at.ask('GET', path), await at.ask('HEAD', path)]
    expect(head.text).toBe('')
    expect(head.status).toBe(get.status)
    expect(head.headers['content-type']).toBe(get.headers['content-type'])
    if (path !== '/nowhere') expect(head.headers['content-length']).toBe(get.headers['content-length'])
  }
})

test('PATCH moves the percentage in file and table, and answers with the route and its new tag', async () => {
  const reply = await patch('gtin-lookup', { percent: 25 }, { 'Banyan-Reason': 'p99 fine' })
  expect(reply.status).toBe(200)
  expect(reply.json).toMatchObject({ revision: 2, id: 'gtin-lookup', percent: 25 })
  expect(reply.headers.etag).toBe(at.live.current.etag)
  expect(await at.text()).toBe(TABLE.replace('percent: 5  ', 'percent: 25  '))
  const audit = at.lines.find((line) => line.fields.event === 'admin-write')
  expect(audit?.fields).toMatchObject({
    author: 'anonymous',
    reason: 'p99 fine',
    changes: [{ what: 'route', name: 'gtin-lookup', keys: [{ key: 'percent', before: 5, after: 25 }] }],
    changed: true,
    revision: 2,
  })
})

test('an edit asks no data plane for figures, and for recent requests of its route only', async () => {
  const [figures, recent] = [vi.spyOn(Planes.prototype, 'figures'), vi.spyOn(Planes.prototype, 'recent')]
  onTestFinished(() => void vi.restoreAllMocks())
  await at.ask('GET', '/routes/gtin-lookup')
  expect(figures).toHaveBeenCalledTimes(1)
  expect((await patch('gtin-lookup', { percent: 7 })).json).toMatchObject({ percent: 7, live: LIVE })
  expect(figures).toHaveBeenCalledTimes(1)
  expect(recent.mock.calls).toEqual([['gtin-lookup']])
})

test('PATCH takes application/json too, and what stands already keeps the revision', async () => {
  const reply = await at.ask('PATCH', '/routes/gtin-lookup', { body: { percent: 5 } })
  expect(reply.status).toBe(200)
  expect(reply.json.revision).toBe(1)
})

test('If-Match of another revision gets 412 with what has changed since', async () => {
  const { etag } = (await at.ask('GET', '/routes/gtin-lookup')).headers
  expect((await patch('gtin-lookup', { percent: 6 }, { 'If-Match': etag as string })).status).toBe(200)
  const reply = await patch('gtin-lookup', { percent: 7 }, { 'If-Match': etag as string })
  const { difference, ...said } = problem(reply, 412, 'outdated')
  expect(said).toMatchObject({ revision: 2, etag: at.live.current.etag })
  expect(difference).toMatchObject({
    since: 1,
    changes: [{ what: 'route', name: 'gtin-lookup', keys: [{ key: 'percent', before: 5, after: 6 }] }],
  })
  expect(difference.diff).toContain('-    percent: 5 ')
  expect(difference.diff).toContain('+    percent: 6 ')
  expect(reply.headers.etag).toBe(at.live.current.etag)
  problem(await patch('gtin-lookup', { percent: 7 }, { 'If-Match': `W/${reply.headers.etag}` }), 412, 'outdated')
  problem(await patch('gtin-lookup', { percent: 7 }, { 'If-Match': '2' }), 400, 'malformed-field')
  const unknown = await patch('gtin-lookup', { percent: 7 }, { 'If-Match': '"9-beef"' })
  expect(problem(unknown, 412, 'outdated').difference).toBeNull()
  expect((await patch('gtin-lookup', { percent: 7 }, { 'If-Match': '*' })).json.revision).toBe(3)
})

test('twenty-five clients that each raise what they have read lose nothing', async () => {
  const raise = async () => {
    let seen = await at.ask('GET', '/routes/gtin-lookup')
    for (;;) {
      const headers = { 'If-Match': seen.headers.etag as string }
      const reply = await patch('gtin-lookup', { percent: seen.json.percent + 1 }, headers)
      if (reply.status === 200) return reply.json.revision as number
      expect(reply.status).toBe(412)
      seen = await at.ask('GET', '/routes/gtin-lookup')
    }
  }
  const revisions = await Promise.all(Array.from({ length: 25 }, raise))
  expect(revisions.sort((a, b) => a - b)).toEqual(Array.from({ length: 25 }, (_, index) => index + 2))
  expect(await at.text()).toBe(TABLE.replace('percent: 5  ', 'percent: 30  '))
  // More than three hundred edits, nearly all of them refused.
})

test.each([
  [
    { percent: '25' },
    [{ pointer: '/percent', detail: 'expected number, received string', hint: 'write 25, not "25"' }],
  ],
  [
    { percent: '5 %' },
    [{ pointer: '/percent', detail: 'expected number, received string', hint: 'write 5, not "5 %"' }],
  ],
  [{ percent: 101 }, [{ pointer: '/percent', detail: 'invalid percent 101: must be 0 to 100' }]],
  [{ percent: -0.5 }, [{ pointer: '/percent', detail: 'invalid percent -0.5: must be 0 to 100' }]],
  [{ percent: 0.00001 }, [{ pointer: '/percent', detail: 'invalid percent 0.00001: at most 4 decimals' }]],
  [{ precent: 5 }, [{ pointer: '/precent', detail: 'unknown key', hint: 'did you mean `percent`?' }]],
  [{ match: null }, [{ pointer: '/match', detail: 'missing required key' }]],
  [{ __proto__: null, 'a/b~c': 1, constructor: 2 }, ['/a~1b~0c', '/constructor'].map(unknownKey)],
  [
    { to: 'gtni', sticky: 'cooki:sid' },
    [
      { pointer: '/to', detail: 'unknown upstream "gtni"', hint: 'did you mean `gtin`?' },
      {
        pointer: '/sticky',
        detail: expect.stringContaining('unknown sticky key "cooki:sid"'),
        hint: expect.any(String),
      },
    ],
  ],
  [{ id: 'other' }, [{ pointer: '/id', detail: expect.stringContaining('as in the path'), hint: expect.any(String) }]],
  [[5], [{ pointer: '', detail: 'expected an object such as {"percent": 25}' }]],
])('PATCH %j is invalid, with each error at its pointer', async (body, errors) => {
  expect(problem(await patch('gtin-lookup', JSON.stringify(body)), 422, 'invalid').errors).toEqual(errors)
  expect(at.live.current.number).toBe(1)
  expect(await at.text()).toBe(TABLE)
})

function unknownKey(pointer: string) {
  return { pointer, detail: 'unknown key', hint: expect.stringMatching(/^known keys: id, match, from, to, percent, /) }
}

test('malformed bodies get 400 with their position', async () => {
  const reply = await patch('gtin-lookup', '{\n "percent": 5,\n}')
  expect(problem(reply, 400, 'malformed-json')).toMatchObject({ line: 3, column: 1 })
  problem(await patch('gtin-lookup', ''), 400, 'malformed-json')
  problem(await patch('gtin-lookup', '{"percent": 5, "percent": 50}'), 400, 'malformed-json')
  const latin1 = { body: Buffer.from([0x22, 0xe9, 0x22]), headers: { 'Content-Type': 'application/json' } }
  problem(await at.ask('PATCH', '/routes/search', latin1), 400, 'malformed-body')
})

test('any other media type gets 415 with those that are taken', async () => {
  const body = '{"percent": 50}'
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=latin1', '']) {
    const headers: Record<string, string> = type === '' ? {} : { 'Content-Type': type }
    const reply = await at.ask('PATCH', '/routes/search', { body, headers })
    problem(reply, 415, 'media-type')
    expect(reply.headers['accept-patch']).toBe('application/merge-patch+json, application/json')
  }
  problem(await patch('search', body, { 'Content-Encoding': 'gzip' }), 415, 'media-type')
  const utf8 = { 'Content-Type': 'application/JSON; charset="UTF-8"' }
  expect((await at.ask('PATCH', '/routes/search', { body, headers: utf8 })).status).toBe(200)
})

test('a body above 1 MiB gets 413, chunked or not', async () => {
  const body = Buffer.alloc(1024 * 1024 + 1, ' ')
  problem(await patch('search', body), 413, 'too-large')
  problem(await patch('search', body, { 'Transfer-Encoding': 'chunked' }), 413, 'too-large')
  const padded = `{"percent": 50}${' '.repeat(1024 * 1024 - 15)}`
  expect((await patch('search', padded)).status).toBe(200)
})

test('an invalid table file gets 409 with its problems, and shows in /readyz', async () => {
  const invalid = TABLE.replace('percent: 5 ', 'percent: 500 ')
  await writeFile(at.path, invalid)
  const { problems } = problem(await patch('search', { percent: 50 }), 409, 'table-refused')
  expect(problems).toMatchObject([{ pointer: '/routes/0/percent', line: expect.any(Number), severity: 'error' }])
  expect(await at.text()).toBe(invalid)
  const { status, json } = await at.ask('GET', '/readyz')
  expect(status).toBe(200)
  expect(json.table).toMatchObject({ revision: 1, refused: { at: '1970-01-01T00:00:02.000Z', problems } })
})

test('a read-only table file gets 403 with the reason', async () => {
  await chmod(at.path, 0o444)
  const { detail } = problem(await patch('search', { percent: 50 }), 403, 'table-read-only')
  expect(detail).toContain('routes.yaml is read-only; nothing was changed.')
  expect(at.lines.at(-1)?.fields).toMatchObject({ event: 'admin-refused', code: 'table-read-only', status: 403 })
})

test('GET /routes.yaml gives the text in force, and 304 to who has it', async () => {
  const reply = await at.ask('GET', '/routes.yaml')
  expect(reply.text).toBe(TABLE)
  expect(reply.headers['content-type']).toBe('application/yaml')
  const again = await at.ask('GET', '/routes.yaml', { headers: { 'If-None-Match': reply.headers.etag as string } })
  expect([again.status, again.text]).toEqual([304, ''])
})

test('/livez lives; /readyz gives its reasons', async () => {
  expect(await at.ask('GET', '/livez')).toMatchObject({ status: 200, json: { alive: true } })
  const appliedAt = '1970-01-01T00:00:01.000Z'
  const table = { revision: 1, etag: at.live.current.etag, appliedAt, ageSeconds: 60, refused: null }
  expect(await at.ask('GET', '/readyz')).toMatchObject({ status: 200, json: { ready: true, reasons: [], table } })
  readiness = { ready: false, reasons: ['draining'] }
  expect(await at.ask('GET', '/readyz')).toMatchObject({ status: 503, json: { ready: false, reasons: ['draining'] } })
})

test('paths that are none get 404, methods that are none 405 with those that are, or 501', async () => {
  for (const path of ['/page/nothing.js', '/route', '/routes/', '/Routes', '/routes/a/b', '//routes', '/routes/%ff']) {
    expect((await at.ask('GET', path)).status, path).toBe(404)
  }
  problem(await at.ask('GET', '/nowhere'), 404, 'not-found')
  const reply = await at.ask('DELETE', '/routes')
  problem(reply, 405, 'method-not-allowed')
  expect(reply.headers.allow?.split(', ').sort()).toEqual(['GET', 'HEAD', 'POST'])
  problem(await at.ask('GET', '/explain'), 405, 'method-not-allowed')
  problem(await at.ask('PURGE', '/routes'), 501, 'not-implemented')
  const options = await at.ask('OPTIONS', '/routes')
  expect([options.status, options.headers.allow]).toEqual([200, 'HEAD, GET, POST'])
})

test('what fails inside is logged and says nothing outside', async () => {
  const broken = await adminRig({
    isReady: () => {
      throw new Error('secret inside')
    },
  })
  const reply = await broken.ask('GET', '/readyz')
  problem(reply, 500, 'internal')
  expect(reply.text).not.toContain('secret')
  expect(broken.lines).toMatchObject([{ level: 'error', fields: { requestId: reply.json.requestId } }])
  await broken.close()
})
