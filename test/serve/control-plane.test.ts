/**
 * The control plane of a running proxy: tables from stdin and from broken files, tokens, history across restarts, the command line.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { Agent, get, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { type Ended, banyan as inProcess } from '../cli/rig.ts'
import { tableFor } from '../support/banyan.ts'
import { selfSigned } from '../support/certificates.ts'
import { Program, startProgram } from '../support/process.ts'

const ROOT = join(import.meta.dirname, '../..')
const TABLE = `${tableFor(1)}routes:\n  - { id: one, match: { path: /one }, to: main, percent: 5 } # kept\n`

let folder: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-control-plane-'))
  path = join(folder, 'routes.yaml')
  writeFileSync(path, TABLE)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

interface Running {
  readonly program: Program
  readonly admin: string
  readonly ready: string
}

async function start(
  args: readonly string[],
  program = startProgram([
    'bin/banyan.js',
    'serve',
    '--listen',
    '127.0.0.1:0',
    '--admin',
    '127.0.0.1:0',
    '--access-log',
    'none',
    ...args,
  ]),
): Promise<Running> {
  onTestFinished(() => program.kill())
  const ready = await program.line((line) => line.startsWith('banyan ready '))
  return { program, ready, admin: /\badmin (?:http:\/\/)?(\S+)/.exec(ready)?.[1] as string }
}

/** Runs `banyan WORDS...` against a proxy. */
const banyan = (
  words: readonly string[],
  { admin }: Pick<Running, 'admin'>,
  env: Record<string, string> = {},
): Promise<Ended> => inProcess(words, { now: Date.now, env: { BANYAN_ADMIN: admin, ...env } })

/** The same in a process of its own, which takes a second. */
function program(
  words: readonly string[],
  { admin }: Pick<Running, 'admin'>,
  env: Record<string, string> = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const surroundings = { PATH: process.env.PATH ?? '', BANYAN_ADMIN: admin, ...env }
    execFile(process.execPath, ['bin/banyan.js', ...words], { cwd: ROOT, env: surroundings }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err })
    })
  })
}

test('an operator: set, look, dry run, back, explain; and the file says so', async () => {
  const proxy = await start(['--table', path])
  expect(await program(['set', 'one', '25', '--reason', 'p99 fine żółw'], proxy)).toEqual({
    code: 0,
    out: 'one: 5 % -> 25 % to main (revision 2)\n',
    err: '',
  })
  expect(readFileSync(path, 'utf8')).toBe(TABLE.replace('percent: 5', 'percent: 25'))
  expect((await banyan(['revisions', '2'], proxy)).out).toContain('by anonymous: p99 fine żółw')
  expect((await banyan(['set', 'one', '50', '--dry-run'], proxy)).out).toContain('nothing was changed')
  expect(await banyan(['set', 'one', '50', '--if-match', '1-abc'], proxy)).toMatchObject({
    code: 5,
    err: expect.stringContaining('the current revision is 2, and --if-match names another'),
  })
  expect((await banyan(['restore', '1'], proxy)).out).toBe(
    'revision 1 restored as revision 3\ntook back 1 revision:\n  2 by anonymous: one percent 5 -> 25 (p99 fine żółw)\n',
  )
  expect(readFileSync(path, 'utf8')).toBe(TABLE)
  expect((await banyan(['routes'], proxy)).out).toMatch(/^ROUTE .*\none {2,}.* \/one$/m)
  expect((await banyan(['explain', '/one', '--chance', '0.01'], proxy)).out).toContain('one: 5 % to main')
  expect((await banyan(['servers', 'main'], proxy)).out).toContain('127.0.0.1:1')
  expect((await banyan(['status'], proxy)).out).toMatch(new RegExp(`:\\d+ \\* +${proxy.admin} `))
  expect((await banyan(['purge', '--everything'], proxy)).out).toBe('purged: 0 responses in memory (no route caches)\n')
  expect(await banyan(['routes', 'onne'], proxy)).toMatchObject({
    code: 1,
    err: expect.stringContaining('did you mean `one`?'),
  })
})

test.each([['0'], ['1']])('a signal is logged when it comes, with %s workers', async (workers) => {
  const { program, admin } = await start(['--table', path, '--workers', workers])
  const metrics = await (await fetch(`http://${admin}/metrics`)).text()
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  expect(metrics).toContain(`banyan_build_info{version="${version}"} 1\n`)
  expect(await program.stop()).toBe(0)
  const events = program.log.filter((line) => /"(?:draining|ended)"/.test(line)).map((line) => JSON.parse(line))
  expect(events).toMatchObject([
    { event: 'draining', signal: 'SIGTERM', msg: 'SIGTERM: requests in flight have 30s to finish' },
    { event: 'ended' },
  ])
})

test('a command that changes something changes nothing at another server', async () => {
  const asked: string[] = []
  const other = createServer((req, res) => {
    asked.push(`${req.method} ${req.url}`)
    res.end('{}')
  })
  await new Promise<void>((done) => other.listen(0, '127.0.0.1', done))
  onTestFinished(() => void other.close())
  const admin = `127.0.0.1:${(other.address() as AddressInfo).port}`
  for (const words of [
    ['set', 'one', '0'],
    ['restore', '1'],
    ['purge', '--everything'],
    ['explain', '/one'],
  ]) {
    const { code, err } = await banyan(words, { admin })
    expect([words[0], code]).toEqual([words[0], 3])
    expect(err).toBe(
      `banyan: http://${admin} is not the admin API of banyan: it answered 200 (set the address with --admin or BANYAN_ADMIN)\n`,
    )
  }
  expect(asked).toEqual(['GET /routes/one', 'GET /livez', 'GET /livez', 'GET /livez'])
})

test('numbers and tags survive a restart', async () => {
  const first = await start(['--table', path])
  await banyan(['set', 'one', '6'], first)
  const before = JSON.parse((await banyan(['revisions', '--json'], first)).out)
  expect(await first.program.stop()).toBe(0)
  const second = await start(['--table', path])
  expect(second.ready).toContain('revision 2 routes 1')
  expect(JSON.parse((await banyan(['revisions', '--json'], second)).out)).toEqual(before)
  expect(await second.program.stop()).toBe(0)
  writeFileSync(path, TABLE)
  const third = await start(['--table', path, '--keep-revisions', '2'])
  expect(third.ready).toContain('revision 3 routes 1')
})

test('a table from standard input serves, and says why it can not be edited', async () => {
  const child = spawn(
    process.execPath,
    [
      'bin/banyan.js',
      'serve',
      '--table',
      '-',
      '--listen',
      '127.0.0.1:0',
      '--admin',
      '127.0.0.1:0',
      '--access-log',
      'none',
    ],
    { cwd: ROOT, stdio: 'pipe' },
  )
  child.stdin.end(TABLE)
  const proxy = await start([], new Program(child))
  expect(proxy.ready).toContain('table - revision 1 routes 1')
  const refused = await banyan(['set', 'one', '6'], proxy)
  expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('was read from standard input') })
  expect((await banyan(['routes'], proxy)).code).toBe(0)
  expect(await proxy.program.stop()).toBe(0)
})

test('an invalid file is no start, unless the last good revision may stand in for it', async () => {
  const first = await start(['--table', path])
  await banyan(['set', 'one', '6'], first)
  await first.program.stop()
  writeFileSync(path, TABLE.replace('percent: 5', 'percent: 500'))
  const refused = await program(['serve', '--table', path, '--listen', '127.0.0.1:0'], { admin: '127.0.0.1:0' })
  expect(refused).toMatchObject({ code: 1, err: expect.stringContaining(`${path} is invalid`) })
  expect(refused.err).toMatch(/\^\n1 error\n$/)
  const second = await start(['--table', path, '--allow-last-good'])
  expect(second.ready).toContain('revision 2 routes 1')
  const { reasons, table } = (await (await fetch(`http://${second.admin}/readyz`)).json()) as {
    reasons: string[]
    table: { refused: { problems: object[] } }
  }
  expect(reasons).toEqual(['the table file is invalid: serving an earlier revision'])
  expect(table.refused.problems).toHaveLength(1)
  expect(await banyan(['set', 'one', '7'], second)).toMatchObject({
    code: 1,
    err: expect.stringContaining('must be 0 to 100'),
  })
  expect((await banyan(['set', 'one', '7', '--force'], second)).code).toBe(0)
  expect(readFileSync(path, 'utf8')).toBe(TABLE.replace('percent: 5', 'percent: 7'))
  const none = join(folder, 'none.yaml')
  writeFileSync(none, 'version: 2\n')
  const ended = await program(['serve', '--table', none, '--allow-last-good'], { admin: '127.0.0.1:0' })
  expect(ended).toMatchObject({
    code: 1,
    err: expect.stringContaining('no valid revision is stored either'),
  })
})

test('named tokens by environment and file, each with its scope', async () => {
  const file = join(folder, 'tokens')
  writeFileSync(file, 'grafana read secret-of-grafana\n')
  const flags = ['--table', path, '--admin-tokens', 'anna:write:the-secret-of-anna', '--admin-token-file', file]
  // A name that is not known to be this machine's own.
  const proxy = await start([...flags, '--admin', '127.1:0'])
  const told = await proxy.program.line((line) => line.includes('"admin-tls"'))
  expect(JSON.parse(told).msg).toBe(
    '--admin 127.1:0: tokens and what they may read cross the network unencrypted: set --admin-tls-cert and --admin-tls-key, or listen on 127.0.0.1',
  )
  expect(await banyan(['routes'], proxy)).toMatchObject({ code: 4 })
  expect((await banyan(['routes'], proxy, { BANYAN_TOKEN: 'secret-of-grafana' })).code).toBe(0)
  expect(await banyan(['set', 'one', '6'], proxy, { BANYAN_TOKEN: 'secret-of-grafana' })).toMatchObject({
    code: 4,
    err: expect.stringContaining('is read-only'),
  })
  expect((await banyan(['set', 'one', '6'], proxy, { BANYAN_TOKEN: 'the-secret-of-anna' })).code).toBe(0)
  const { revisions } = JSON.parse(
    (await banyan(['revisions', '--json'], proxy, { BANYAN_TOKEN: 'the-secret-of-anna' })).out,
  )
  expect(revisions[0].author).toBe('anna')
  expect(await proxy.program.stop()).toBe(0)
  expect(proxy.program.log.join('\n')).not.toContain('secret-of')
})

test('over TLS: API, page and command line, with a certificate that is read again when it changes', async () => {
  const [first, second] = [selfSigned('first', 'DNS:admin.test,IP:127.0.0.1'), selfSigned('second', 'IP:127.0.0.1')]
  const [cert, key, ca] = [join(folder, 'admin.pem'), join(folder, 'admin.key'), join(folder, 'ca.pem')]
  writeFileSync(cert, first.cert)
  writeFileSync(key, first.key)
  writeFileSync(ca, first.cert)
  const proxy = await start(['--table', path, '--workers', '0', '--admin-tls-cert', cert, '--admin-tls-key', key])
  expect(proxy.admin).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
  expect(proxy.program.log.join()).not.toContain('admin-tls')
  const trusting = { NODE_EXTRA_CA_CERTS: ca }
  expect(await program(['set', 'one', '6'], proxy, trusting)).toMatchObject({ code: 0, err: '' })
  const untrusting = await program(['routes'], proxy)
  expect(untrusting.code).toBe(3)
  expect(untrusting.err).toContain('NODE_EXTRA_CA_CERTS')
  const inClear = await program(['set', 'one', '7'], { admin: proxy.admin.replace('https://', '') })
  expect(inClear).toMatchObject({ code: 1, err: 'banyan: this port speaks HTTPS: use https://\n' })

  const agent = new Agent({ ca: first.cert, maxCachedSessions: 0 })
  const Origin = proxy.admin.replace('127.0.0.1', 'admin.test')
  const body = JSON.stringify({ percent: 8 })
  const write = await over(agent, `${proxy.admin}/routes/one`, 'PATCH', { Origin, Host: new URL(Origin).host }, body)
  expect([write.status, write.subject]).toEqual([200, 'first'])
  const page = await over(agent, `${proxy.admin}/`, 'GET', { Accept: 'text/html' })
  expect([page.status, page.headers['content-security-policy']]).toEqual([200, expect.stringContaining("'self'")])
  const live = await new Promise<IncomingMessage>((opened) => void get(`${proxy.admin}/live`, { agent }, opened))
  live.resume()

  writeFileSync(cert, second.cert.slice(0, 300))
  const broken = await proxy.program.line((line) => line.includes('the previous certificate stays in use'))
  expect(JSON.parse(broken).msg).toMatch(/^admin API: .*admin\.pem: contains an incomplete PEM block/)
  expect((await over(agent, `${proxy.admin}/readyz`)).text).toContain('admin.pem: contains an inc')
  writeFileSync(key, second.key)
  writeFileSync(cert, second.cert)
  await proxy.program.line((line) => line.includes('admin API: certificates reloaded'))
  expect((await over(new Agent({ ca: second.cert }), `${proxy.admin}/readyz`)).subject).toBe('second')
  // It stands: a line a second.
  expect(JSON.parse(String((await once(live, 'data'))[0]))).toBeTypeOf('object')
  live.destroy()
  expect(await proxy.program.stop()).toBe(0)
})

/** A request over TLS, and whose certificate answered it. */
function over(agent: Agent, url: string, method = 'GET', headers: OutgoingHttpHeaders = {}, body = '') {
  return new Promise<{ status: number; headers: IncomingHttpHeaders; text: string; subject: string }>(
    (resolve, reject) => {
      const type = body === '' ? {} : { 'Content-Type': 'application/json' }
      const req = request(url, { method, agent, headers: { ...type, ...headers } }, (res) => {
        const subject = String((res.socket as TLSSocket).getPeerCertificate().subject.CN)
        let text = ''
        res.setEncoding('utf8').on('data', (piece) => {
          text += piece
        })
        res.on('end', () => resolve({ status: res.statusCode as number, headers: res.headers, text, subject }))
      })
      req.on('error', reject).end(body)
    },
  )
}

test.each([
  [
    'a line that is no token',
    ['--admin-tokens', 'anna'],
    'banyan: --admin-tokens: line 1: expected NAME read|write SECRET\n',
  ],
  [
    'a file that is not there',
    ['--admin-token-file', '/no/such/file'],
    'banyan: --admin-tokens, --admin-token-file: /no/such/file: no such file\n',
  ],
  ['a short token', ['--admin-token', 'x'], 'banyan: --admin-token: must have at least 16 characters\n'],
  [
    'a token that no header can carry',
    ['--admin-token', 'a token of several words'],
    'banyan: --admin-token: must not contain spaces, control characters or non-ASCII characters\n',
  ],
  [
    'an empty token',
    ['--admin-token', ''],
    'banyan: --admin-token: must not be empty; leave it out if there is none\n',
  ],
  [
    'one secret under two names',
    ['--admin-token', 'the-secret-of-all', '--admin-tokens', 'anna:read:the-secret-of-all'],
    'banyan: --admin-tokens: the tokens admin and anna have the same secret\n',
  ],
  [
    'a certificate that is not there',
    ['--admin-tls-cert', '/no/such/file', '--admin-tls-key', '/no/such/key'],
    'banyan: --admin-tls-cert: /no/such/file: no such file\n',
  ],
  ['a short secret', ['--force-secret', 'short'], 'banyan: --force-secret: must have at least 16 characters\n'],
])('%s is told in one line, and never with the secret', async (_, flags, message) => {
  const ended = await program(['serve', '--table', path, ...flags], { admin: '127.0.0.1:0' })
  expect(ended.code).not.toBe(0)
  expect(ended.err).toEqual(message)
})

test('revisions that could not be stored are stored without another edit, once there is room', async () => {
  const state = join(folder, 'state')
  const proxy = await start(['--table', path, '--state', state])
  const reasons = async (): Promise<string> =>
    (await (await fetch(`http://${proxy.admin}/readyz`)).json()).reasons.join()
  rmSync(join(state, 'routes.yaml'), { recursive: true })
  writeFileSync(join(state, 'routes.yaml'), 'a file')
  expect(await banyan(['set', 'one', '25'], proxy)).toMatchObject({ code: 0 })
  expect(await reasons()).toContain('revisions are not stored on disk')
  rmSync(join(state, 'routes.yaml'))
  await expect.poll(reasons).toBe('')
  expect(readFileSync(join(state, 'routes.yaml/2.yaml'), 'utf8')).toContain('percent: 25')
})
