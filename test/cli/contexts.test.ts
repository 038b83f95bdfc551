/**
 * Contexts: what they name, what wins over them, where their tokens go, and which files are refused.
 */
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import nock from 'nock'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { banyan, type Surroundings } from './rig.ts'

const SECRET = 'the-token-of-production'
let folder: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-contexts-'))
  path = join(folder, 'config', 'banyan', 'contexts.json')
  nock.disableNetConnect()
})
afterEach(() => {
  rmSync(folder, { recursive: true })
  const pending = nock.pendingMocks()
  nock.cleanAll()
  nock.enableNetConnect()
  expect(pending).toEqual([])
})

const run = (words: readonly string[], { env = {}, ...more }: Surroundings = {}) =>
  banyan(words, {
    ...more,
    env: { XDG_CONFIG_HOME: join(folder, 'config'), ...env },
    files: { 'prod.token': `${SECRET}\n` },
  })

async function two(): Promise<void> {
  await run(['context', 'add', 'prod', 'https://prod.test:8081', '--token-file', 'prod.token'])
  await run(['context', 'add', 'test', 'test.test:9000'])
}

/** A proxy that answers once, to a request with this token, or without one. */
function proxy(origin: string, token: string | null): void {
  const options =
    token === null ? { badheaders: ['authorization'] } : { reqheaders: { authorization: `Bearer ${token}` } }
  nock(origin, options).get('/routes').reply(200, { default: 'legacy', routes: [] }, { 'Banyan-Request-Id': 'x' })
}

test('are added, listed, used, shown and removed; tokens are never printed', async () => {
  expect((await run(['context', 'list'])).out).toBe('no contexts: banyan context add NAME HOST:PORT\n')
  const added = await run(['context', 'add', 'prod', 'https://prod.test:8081', '--token-file', 'prod.token'])
  expect(added).toEqual({ code: 0, out: 'added prod: https://prod.test:8081, with a token, in use\n', err: '' })
  expect((await run(['context', 'add', 'test', 'test.test:9000'])).out).toBe('added test: test.test:9000\n')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700)
  expect((await run(['context', 'list'])).out).toBe(
    'USED  NAME  ADMIN                   TOKEN\n*     prod  https://prod.test:8081  yes\n      test  test.test:9000          no\n',
  )
  expect((await run(['context', 'use', 'test'])).out).toBe('test: test.test:9000\n')
  expect((await run(['context', 'show'])).out).toBe('test: test.test:9000, without a token, in use\n')
  expect(JSON.parse((await run(['context', 'show', 'prod', '--json'])).out)).toEqual({
    name: 'prod',
    admin: 'https://prod.test:8081',
    token: true,
    used: false,
  })
  const json = (await run(['context', 'list', '--json'])).out
  expect(json).not.toContain(SECRET)
  expect(JSON.parse(json)).toMatchObject({ file: path, contexts: [{ name: 'prod' }, { name: 'test', used: true }] })
  expect((await run(['context', 'remove', 'test'])).out).toBe('removed test: no context is in use now\n')
  expect((await run(['context', 'show'])).code).toBe(1)
  expect((await run(['context', 'use', 'prdo'])).err).toBe("banyan: unknown context 'prdo' (did you mean `prod`?)\n")
})

test('a token that would cross a network in clear is warned of', async () => {
  const { err } = await run(['context', 'add', 'far', '10.0.0.5:8081', '--token-file', 'prod.token'])
  expect(err).toContain('in clear')
  expect((await run(['context', 'add', 'near', '127.0.0.1:8081', '--token-file', 'prod.token'])).err).toBe('')
})

test('the one in use has the address and the token, and is named', async () => {
  await two()
  proxy('https://prod.test:8081', SECRET)
  const { code, err, out } = await run(['routes'])
  expect([code, err]).toEqual([0, 'context prod (https://prod.test:8081)\n'])
  expect(out).not.toContain('prod')
  proxy('https://prod.test:8081', SECRET)
  expect((await run(['routes', '--json'])).err).toBe('')
})

test('flags win over the environment, and that over the one in use', async () => {
  await two()
  proxy('http://test.test:9000', null)
  expect((await run(['routes', '--context', 'test'])).code).toBe(0)
  proxy('http://test.test:9000', 'of-env')
  expect((await run(['routes'], { env: { BANYAN_CONTEXT: 'test', BANYAN_TOKEN: 'of-env' } })).code).toBe(0)
  proxy('http://env.test:1', null)
  expect((await run(['routes'], { env: { BANYAN_ADMIN: 'env.test:1', BANYAN_CONTEXT: 'test' } })).code).toBe(0)
  proxy('http://test.test:9000', null)
  expect((await run(['routes', '--context', 'test'], { env: { BANYAN_ADMIN: 'env.test:1' } })).code).toBe(0)
  expect((await run(['routes', '--context', 'test', '--admin', 'a.test:1'])).err).toContain('exclude each other')
})

test('a token goes to the address of its context only', async () => {
  await two()
  proxy('http://other.test:1', null)
  expect((await run(['routes', '--admin', 'other.test:1'])).code).toBe(0)
  // BANYAN_TOKEN may be of another proxy: who names a context means its token.
  proxy('https://prod.test:8081', SECRET)
  expect((await run(['routes', '--context', 'prod'], { env: { BANYAN_TOKEN: 'of-env' } })).code).toBe(0)
  proxy('https://prod.test:8081', 'of-env')
  expect((await run(['routes'], { env: { BANYAN_TOKEN: 'of-env' } })).code).toBe(0)
})

test('a file that others can read is refused, and nothing is sent', async () => {
  await two()
  chmodSync(path, 0o644)
  const { code, err } = await run(['routes'])
  expect([code, err]).toEqual([
    2,
    `banyan: ${path} has mode 0644 and may hold tokens: others must not read it (chmod 600 ${path})\n`,
  ])
  expect((await run(['context', 'use', 'prod'])).code).toBe(2)
  // What does not need it works.
  proxy('http://env.test:1', null)
  expect((await run(['routes', '--admin', 'env.test:1'])).code).toBe(0)
})

test.each([
  ['{', 'not valid JSON'],
  ['null', 'unknown format undefined: expected 1'],
  ['{"format":2}', 'unknown format 2: expected 1'],
  ['{"format":1,"contexts":{"a":{"admin":5}}}', 'contexts.a: expected'],
  ['{"format":1,"contexts":{"a":null}}', 'contexts.a: expected'],
  ['{"format":1,"current":"gone"}', "unknown context 'gone'"],
])('a file with %s: %s', async (text, told) => {
  await two()
  writeFileSync(path, text)
  const { code, err } = await run(['routes'])
  expect([code, err]).toEqual([2, expect.stringContaining(told)])
})

test('a link to the file stays one, and what it names is written', async () => {
  await two()
  const kept = join(folder, 'kept.json')
  renameSync(path, kept)
  symlinkSync(kept, path)
  expect((await run(['context', 'remove', 'prod'])).code).toBe(0)
  expect(lstatSync(path).isSymbolicLink()).toBe(true)
  expect(readFileSync(kept, 'utf8')).not.toContain(SECRET)
  expect(statSync(kept).mode & 0o777).toBe(0o600)
})

test('nothing of a file with a slip is printed: it has tokens', async () => {
  await two()
  writeFileSync(path, `{"format":1,"contexts":{"a":{"admin":"a.test:1","token":"${SECRET}"],}}`)
  const { code, err } = await run(['routes'])
  expect([code, err]).toEqual([2, `banyan: ${path}: not valid JSON\n`])
})

test.each([
  [['add', 'a b', 'x.test:1'], "invalid name 'a b'"],
  [['add', 'a', 'nonsense'], "invalid admin API address 'nonsense'"],
  [['add', 'a', 'http://user:pass@x.test:1'], 'no user and password'],
  [['add', 'a', 'x.test:1', '--token-file', 'nowhere'], '--token-file nowhere'],
  [['add', 'a'], 'usage: banyan context add CONTEXT_NAME HOST:PORT'],
  [['drop', 'a'], "unknown subcommand 'drop'"],
])('context %j: exit 2', async (words, told) => {
  const { code, err } = await run(['context', ...words])
  expect([code, err]).toEqual([2, expect.stringContaining(told)])
})

test('a token that can not be one is refused, without being printed', async () => {
  writeFileSync(join(folder, 'bad'), 'two words')
  const { code, err } = await run(['context', 'add', 'a', 'x.test:1', '--token-file', join(folder, 'bad')])
  expect([code, err]).toEqual([2, expect.stringContaining('invalid token in --token-file')])
  expect(err).not.toContain('two words')
})

test('a proxy that wants another token names the context', async () => {
  await two()
  const problem = { type: 'urn:banyan:problem:wrong-token', status: 401, detail: 'No.' }
  const headers = { 'Banyan-Request-Id': 'x', 'Content-Type': 'application/problem+json' }
  nock('https://prod.test:8081').get('/routes').reply(401, problem, headers)
  const { code, err } = await run(['routes'])
  expect([code, err]).toEqual([4, expect.stringContaining('the token in the context prod is not one of this proxy')])
  nock('https://prod.test:8081')
    .get('/routes')
    .replyWithError(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }))
  expect((await run(['routes'])).err).toContain('its address is that of the context prod')
  expect(readFileSync(path, 'utf8')).toContain(SECRET)
})

test('are completed by name', async () => {
  await two()
  const names = async (...words: string[]) => (await run(['completion', 'bash', '--', ...words])).out
  expect(await names('routes', '--context', '')).toBe('prod\thttps://prod.test:8081\ntest\ttest.test:9000\n')
  expect(await names('context', 'use', 'p')).toBe('prod\thttps://prod.test:8081\n')
  expect(await names('routes', '-o', '')).toBe('wide\t\njson\t\n')
  expect(await names('top', '--sort=')).toContain('--sort=p95')
})
