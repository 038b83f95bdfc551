/**
 * Who may ask the admin API for what: no page of another site, no name that is not its own, no one without a token.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { whyNotBind } from '../../../src/control/access/security.ts'
import { tokenOf } from '../../../src/control/access/tokens.ts'
import { type AdminRig, adminRig } from '../rig.ts'

let at: AdminRig
afterEach(() => at.close())

const PERCENT = { percent: 50 }

test('takes requests for addresses, localhost and its own name, and for no other', async () => {
  at = await adminRig({ hostNames: () => ['banyan.internal', '*.shop.test'] })
  const status = async (Host: string) => (await at.ask('GET', '/routes', { headers: { Host } })).status
  for (const host of [
    '127.0.0.1:8081',
    '[::1]:8081',
    '[::1]',
    '10.1.2.3',
    'localhost',
    'LOCALHOST:1',
    'banyan.internal:80',
    'admin.shop.test',
  ]) {
    expect(await status(host), host).toBe(200)
  }
  for (const host of [
    'evil.test',
    'evil.test:8081',
    'localhost.evil.test',
    'shop.test',
    'a.admin.shop.test',
    '127.0.0.1.evil.test',
    '[::1]x',
    'a@localhost',
    '1.2.3',
  ]) {
    expect(await status(host), host).toBe(403)
  }
})

test('takes no target that names a host of its own', async () => {
  at = await adminRig()
  expect((await at.ask('GET', 'http://evil.test/routes')).status).toBe(400)
})

test('takes no request with several Hosts', async () => {
  at = await adminRig()
  const socket = connect(at.port, '127.0.0.1')
  socket.end('GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nhost: 127.0.0.1\r\nConnection: close\r\n\r\n')
  const [head] = (await once(socket, 'data')) as [Buffer]
  expect(head.toString()).toMatch(/^HTTP\/1\.1 400 /)
})

test('takes no request without a Host', async () => {
  at = await adminRig()
  const socket = connect(at.port, '127.0.0.1')
  socket.end('GET /routes HTTP/1.0\r\n\r\n')
  const [head] = (await once(socket, 'data')) as [Buffer]
  expect(head.toString()).toMatch(/^HTTP\/1\.1 403 /)
  const newer = connect(at.port, '127.0.0.1')
  newer.end('GET /routes HTTP/1.1\r\nConnection: close\r\n\r\n')
  const [answer] = (await once(newer, 'data')) as [Buffer]
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 400 .*problem\+json.*There is no Host header/s)
})

test('ignores an expectation that it does not know', async () => {
  at = await adminRig()
  const { status, json } = await at.ask('GET', '/routes', { headers: { Expect: 'the-best' } })
  expect([status, json]).toEqual([200, expect.objectContaining({ routes: expect.anything() })])
})

test('takes writes from its own origin and from clients that are no browser', async () => {
  at = await adminRig()
  const status = async (headers: Record<string, string>) =>
    (await at.ask('PATCH', '/routes/search', { body: PERCENT, headers: { Host: '127.0.0.1:8081', ...headers } })).status
  expect(await status({})).toBe(200)
  expect(await status({ Origin: 'http://127.0.0.1:8081', 'Sec-Fetch-Site': 'same-origin' })).toBe(200)
  expect(await status({ 'Sec-Fetch-Site': 'none' })).toBe(200)
  for (const headers of [
    { Origin: 'http://evil.test' },
    { Origin: 'null' },
    { Origin: 'http://127.0.0.1:8080' },
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
    { 'Sec-Fetch-Site': 'same-origin', 'Sec-Fetch-Mode': 'no-cors' },
    { 'Sec-Fetch-Site': 'none', 'Sec-Fetch-Mode': 'navigate' },
  ]) {
    expect(await status(headers as Record<string, string>), JSON.stringify(headers)).toBe(403)
  }
  expect(at.lines.at(-1)).toMatchObject({ level: 'warn', fields: { code: 'cross-site', path: '/routes/search' } })
})

test('answers no page of another site that only reads, as it may not read the answer', async () => {
  at = await adminRig()
  const { headers } = await at.ask('GET', '/routes', { headers: { Origin: 'http://evil.test' } })
  expect(headers['access-control-allow-origin']).toBeUndefined()
  expect(headers['cross-origin-resource-policy']).toBe('same-origin')
  expect(headers['x-content-type-options']).toBe('nosniff')
})

test('asks for a token where there are tokens, and knows what each may', async () => {
  const tokens = [tokenOf('anna', 'secret-a'), tokenOf('grafana', 'secret-b', 'read')]
  at = await adminRig({ tokens })
  const bearer = (secret: string) => ({ headers: { Authorization: `Bearer ${secret}` } })
  const none = await at.ask('GET', '/routes')
  expect(none.status).toBe(401)
  expect(none.headers['www-authenticate']).toBe('Bearer realm="banyan"')
  const wrong = await at.ask('GET', '/routes', bearer('secret-'))
  expect(wrong.status).toBe(401)
  expect(wrong.headers['www-authenticate']).toContain('error="invalid_token"')
  expect((await at.ask('GET', '/nowhere')).status).toBe(401)
  expect((await at.ask('GET', '/routes', { headers: { Authorization: 'Basic c2VjcmV0LWE=' } })).status).toBe(401)
  for (const secret of ['secret-a', 'secret-b']) {
    expect((await at.ask('GET', '/routes', bearer(secret))).status).toBe(200)
    expect((await at.ask('POST', '/explain', { body: { url: '/' }, ...bearer(secret) })).status).toBe(200)
  }
  const write = (secret: string) => at.ask('PATCH', '/routes/search', { body: PERCENT, ...bearer(secret) })
  const reader = await write('secret-b')
  expect([reader.status, reader.headers['www-authenticate']]).toEqual([
    403,
    'Bearer realm="banyan", error="insufficient_scope"',
  ])
  const refused = at.lines.findLast((line) => line.fields.event === 'admin-refused')
  expect(refused?.fields).toMatchObject({ author: 'grafana', code: 'read-only-token', path: '/routes/search' })
  expect((await write('secret-a')).status).toBe(200)
  expect(at.lines.find((line) => line.fields.event === 'admin-write')?.fields.author).toBe('anna')
})

test('lets probes in without a token, and tells them nothing of the table', async () => {
  at = await adminRig({ tokens: [tokenOf('anna', 'secret-a')] })
  at.live.refuse([{ file: 'f', line: 1, column: 1, pointer: '', message: 'inside', severity: 'error' }], 0)
  expect((await at.ask('GET', '/livez')).status).toBe(200)
  const probe = await at.ask('GET', '/readyz')
  expect(probe.status).toBe(200)
  expect(probe.json.table.refused).toEqual({ at: '1970-01-01T00:00:00.000Z', problemCount: 1 })
  const anna = await at.ask('GET', '/readyz', { headers: { Authorization: 'Bearer secret-a' } })
  expect(anna.json.table.refused.problems[0].message).toBe('inside')
})

test('logs no secret', async () => {
  at = await adminRig({ tokens: [tokenOf('anna', 'secret-a')] })
  const headers = { Authorization: 'Bearer secret-x', Cookie: 'sid=secret-c', 'Content-Type': 'application/json' }
  await at.ask('PATCH', '/routes/search?key=secret-q', { body: '{"percent": "secret-b"}', headers })
  headers.Authorization = 'Bearer secret-a'
  await at.ask('PATCH', '/routes/search?key=secret-q', { body: '{"percent": "secret-b"}', headers })
  expect(at.lines).toHaveLength(2)
  expect(JSON.stringify(at.lines)).not.toContain('secret')
})

test('listens beyond loopback with a token only', () => {
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) expect(whyNotBind(host, [])).toBeNull()
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'banyan.internal', '', '127.evil.test']) {
    expect(whyNotBind(host, [])).toContain('--admin-token')
    expect(whyNotBind(host, [tokenOf('a', 'b')])).toBeNull()
  }
})
