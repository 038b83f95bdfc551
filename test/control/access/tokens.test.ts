/**
 * Named tokens, several at once, from settings and file; and those who guess are made to wait.
 */
import { execFileSync } from 'node:child_process'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Gate } from '../../../src/control/access/security.ts'
import { Backoff, flawOfSecret, readTokens, TokenBook, tokenOf } from '../../../src/control/access/tokens.ts'
import { type AdminRig, adminRig, folder } from '../rig.ts'

let home: Awaited<ReturnType<typeof folder>>
let file: string
let at: AdminRig | undefined

beforeEach(async () => {
  home = await folder()
  file = join(home.path, 'tokens')
})
afterEach(async () => {
  await at?.close()
  at = undefined
  await home.remove()
})

test('tokens are lines of name, scope and secret', () => {
  const tokens = readTokens('# ours\nanna write the-secret-of-anna\n\ngrafana:read:secret-of-grafana\r\n')
  expect(tokens.map(({ name, scope }) => [name, scope])).toEqual([
    ['anna', 'write'],
    ['grafana', 'read'],
  ])
})

test.each([
  'anna',
  'anna write',
  'anna admin secret-of-anna',
  'an na write secret-of-anna',
  'anna write a secret here',
])('the line %j is none, and what it says is not told', (line) => {
  expect(() => readTokens(`# first\n${line}`)).toThrow(/^line 2: expected NAME read\|write SECRET$/)
})

test('a short secret is refused', () => {
  expect(() => readTokens('anna write fifteen-letters')).toThrow('line 1: the secret must have at least 16 characters')
  expect(flawOfSecret('fifteen-letters')).toBe('must have at least 16 characters')
  expect(flawOfSecret('sixteen-letters!')).toBeNull()
})

test.each(['a secret of many words', 'with-a-\ttab-in-the-middle', 'zażółć-gęślą-jaźń', 'with-an-end\nof-a-line'])(
  'a secret that no header can carry is refused: %j',
  (secret) => {
    expect(flawOfSecret(secret)).toBe('must not contain spaces, control characters or non-ASCII characters')
  },
)

test('one secret under two names is refused, also where a file and a setting have it', async () => {
  const twice = 'anna write secret-number-one\nben read secret-number-one\n'
  expect(() => new TokenBook(readTokens(twice))).toThrow('the tokens anna and ben have the same secret')
  await writeFile(file, 'anna write secret-number-one\n')
  const fixed = [tokenOf('admin', 'secret-number-one')]
  expect(() => new TokenBook(fixed, file)).toThrow(`${file}: the tokens admin and anna have the same secret`)
})

test('a file of tokens is read again when it changes: the old and the new are good side by side, then the new alone', async () => {
  await writeFile(file, 'anna write secret-number-one\n')
  let nowMs = 0
  const faults: string[] = []
  const book = new TokenBook([tokenOf('admin', 'fixed')], file, (message) => faults.push(message))
  const names = () => book.current((nowMs += 1000)).map(({ name }) => name)
  expect(names()).toEqual(['admin', 'anna'])
  await writeFile(file, 'anna write secret-number-one\nanna2 write secret-number-two\n')
  expect(names()).toEqual(['admin', 'anna', 'anna2'])
  await writeFile(`${file}.new`, 'anna2 write secret-number-two\n')
  await rename(`${file}.new`, file)
  expect(names()).toEqual(['admin', 'anna2'])
  await writeFile(file, 'nonsense\n')
  expect(names()).toEqual(['admin', 'anna2'])
  await writeFile(file, '')
  expect(names()).toEqual(['admin', 'anna2'])
  expect(faults).toHaveLength(2)
  expect(faults.join()).not.toContain('nonsense')
})

test('a file that can not be read, or holds none, is told at once', async () => {
  expect(() => new TokenBook([], file)).toThrow(`${file}: no such file`)
  await writeFile(file, '# none yet\n')
  expect(() => new TokenBook([], file)).toThrow('contains no token')
})

test('a pipe is no file of tokens, and nobody waits for it, at the start or later', async () => {
  execFileSync('mkfifo', [file])
  expect(() => new TokenBook([], file)).toThrow(`${file}: is not a regular file`)
  await rm(file)
  await writeFile(file, 'anna write 1234567890123456\n')
  const faults: string[] = []
  const book = new TokenBook([], file, (message) => faults.push(message))
  await rm(file)
  execFileSync('mkfifo', [file])
  expect(book.current(10_000).map(({ name }) => name)).toEqual(['anna'])
  expect(faults).toEqual([`keeping the previous tokens: ${file}: is not a regular file`])
})

test('the fifth wrong token in a row makes its address wait, longer each time, up to a minute', () => {
  const backoff = new Backoff()
  const waits: number[] = []
  for (let attempt = 0; attempt < 14; attempt++) {
    backoff.failed('a', 0)
    waits.push(backoff.waitMs('a', 0))
  }
  expect(waits).toEqual([0, 0, 0, 0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000])
  expect(backoff.waitMs('a', 59_000)).toBe(1000)
  expect(backoff.waitMs('a', 61_000)).toBe(0)
  expect(backoff.waitMs('b', 0)).toBe(0)
})

test('after an hour without a wrong token from it, an address begins anew', () => {
  const backoff = new Backoff()
  for (let failure = 0; failure < 6; failure++) backoff.failed('a', 0)
  backoff.failed('a', 2000 + 3_600_000)
  expect(backoff.waitMs('a', 2000 + 3_600_000)).toBe(4000)
  backoff.failed('a', 6000 + 7_200_001)
  expect(backoff.waitMs('a', 6000 + 7_200_001)).toBe(0)
})

test('it remembers a bounded number of addresses', () => {
  const backoff = new Backoff()
  for (let failure = 0; failure < 5; failure++) backoff.failed('first', 0)
  for (let address = 0; address < 10_000; address++) backoff.failed(`other ${address}`, 0)
  expect(backoff.waitMs('first', 0)).toBe(0)
})

test('it forgets those first that were silent longest', () => {
  const backoff = new Backoff()
  for (let failure = 0; failure < 5; failure++) backoff.failed('busy', 0)
  for (let address = 0; address < 9999; address++) backoff.failed(`other ${address}`, 0)
  backoff.failed('busy', 0)
  backoff.failed('one more', 0)
  expect(backoff.waitMs('busy', 0)).toBe(2000)
})

test('over HTTP: wrong tokens get 401, then 429 with Retry-After; the right one is let in at any time', async () => {
  let nowMs = 0
  const book = new TokenBook([tokenOf('anna', 'right')])
  at = await adminRig({ gate: new Gate(book, () => nowMs), now: () => nowMs })
  const bearer = (secret: string) => ({ headers: { Authorization: `Bearer ${secret}` } })
  const { ask } = at
  const statusOf = async (secret: string) => (await ask('GET', '/routes', bearer(secret))).status
  for (let attempt = 0; attempt < 5; attempt++) expect(await statusOf('wrong')).toBe(401)
  expect(await at.ask('GET', '/routes', bearer('wrong'))).toMatchObject({
    status: 429,
    headers: { 'retry-after': '1' },
  })
  expect(at.lines.at(-1)?.fields).toMatchObject({ event: 'admin-refused', code: 'too-many-attempts' })
  expect(await statusOf('right')).toBe(200)
  // It excuses none of the wrong ones.
  expect(await statusOf('wrong')).toBe(429)
  expect((await at.ask('GET', '/livez')).status).toBe(200)
  nowMs = 1000
  expect(await statusOf('wrong')).toBe(401)
  expect(await at.ask('GET', '/routes', bearer('wrong'))).toMatchObject({
    status: 429,
    headers: { 'retry-after': '2' },
  })
})

test('over an hour beside a scraper with an outdated token, the right one is never kept out', async () => {
  let nowMs = 0
  const book = new TokenBook([tokenOf('anna', 'right')])
  at = await adminRig({ gate: new Gate(book, () => nowMs), now: () => nowMs })
  const bearer = (secret: string) => ({ headers: { Authorization: `Bearer ${secret}` } })
  for (; nowMs < 3_600_000; nowMs += 15_000) {
    expect([401, 429]).toContain((await at.ask('GET', '/metrics', bearer('outdated'))).status)
    expect((await at.ask('GET', '/routes', bearer('right'))).status).toBe(200)
  }
})
