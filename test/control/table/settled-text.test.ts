/**
 * A file is read once it has stood still; what looks like the middle of an edit is waited for.
 */
import { execFileSync } from 'node:child_process'
import { appendFile, mkdir, open, rename, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { identityOf, type Patience, readNow, readSettled } from '../../../src/control/table/settled-text.ts'
import { folder } from '../rig.ts'

/** Without an end to its patience: what looks half-written is never taken, however slow the machine. */
const PATIENT: Patience = { quietMs: 10, suspiciousMs: 600_000, limitMs: 600_000 }
const never = new AbortController().signal

let home: Awaited<ReturnType<typeof folder>>
let path: string

beforeEach(async () => {
  home = await folder()
  path = join(home.path, 'routes.yaml')
})
afterEach(() => home.remove())

test('an empty file in the midst of a write is waited for', async () => {
  await writeFile(path, '')
  const reading = readSettled(path, PATIENT, never)
  await writeFile(path, 'whole\n')
  expect(await reading).toMatchObject({ ok: true, text: 'whole\n' })
})

test('a text that breaks off in a line is waited for', async () => {
  const handle = await open(path, 'w')
  await handle.write('version: 1\nupstre')
  const reading = readSettled(path, PATIENT, never)
  await handle.write('ams: {}\n')
  await handle.close()
  expect(await reading).toMatchObject({ ok: true, text: 'version: 1\nupstreams: {}\n' })
})

test('a text that ends with a line, and goes on within the quiet time, is read as a whole', async () => {
  await writeFile(path, 'version: 1\n')
  const reading = readSettled(path, { ...PATIENT, quietMs: 1_000 }, never)
  // Far more turns than a reading without a quiet time would take.
  for (let turn = 0; turn < 50; turn++) await identityOf(path)
  await appendFile(path, 'upstreams: {}\n')
  expect(await reading).toMatchObject({ ok: true, text: 'version: 1\nupstreams: {}\n' })
})

test('a file that was renamed away is waited for', async () => {
  await writeFile(path, 'old\n')
  await rename(path, `${path}~`)
  const reading = readSettled(path, PATIENT, never)
  await writeFile(path, 'new\n')
  expect(await reading).toMatchObject({ ok: true, text: 'new\n' })
})

test('a text without a line break at its end counts when it has stood long enough', async () => {
  await writeFile(path, 'no end')
  const reading = await readSettled(path, { quietMs: 5, suspiciousMs: 30, limitMs: 10_000 }, never)
  expect(reading).toMatchObject({ ok: true, text: 'no end' })
})

test.each([
  ['an empty file', async () => writeFile(path, '')],
  ['a text that breaks off in a line', async () => writeFile(path, 'version: 1\nupstre')],
  ['no file', async () => {}],
])('%s is not taken, however still it stands, before patience is over', async (_what, prepare) => {
  await prepare()
  const reading = await readSettled(path, { ...PATIENT, limitMs: 60 }, never)
  expect(reading).toMatchObject({ ok: false, flaw: 'unsettled' })
})

test('a write that puts size and modification time back still changes the identity', async () => {
  await writeFile(path, 'aaaa\n')
  const then = new Date(1_700_000_000_000)
  await utimes(path, then, then)
  const before = await identityOf(path)
  await writeFile(path, 'bbbb\n')
  await utimes(path, then, then)
  expect(await identityOf(path)).not.toBe(before)
})

test('says what a path is that has no text', async () => {
  expect(await readNow(path)).toMatchObject({ flaw: 'missing' })
  expect(await readNow(join(path, 'below'))).toMatchObject({ flaw: 'missing' })
  await mkdir(path)
  expect(await readNow(path)).toMatchObject({ flaw: 'no-file', message: 'is a directory' })
  const pipe = join(home.path, 'pipe')
  execFileSync('mkfifo', [pipe])
  expect(await readNow(pipe)).toMatchObject({ flaw: 'no-file' })
  const latin1 = join(home.path, 'latin1')
  await writeFile(latin1, Buffer.from([0x61, 0xe9, 0x0a]))
  expect(await readNow(latin1)).toMatchObject({
    flaw: 'no-text',
    message: 'is not valid UTF-8: byte 0xE9 in line 1, column 2 (save it as UTF-8)',
  })
  const huge = join(home.path, 'huge')
  const handle = await open(huge, 'w')
  await handle.truncate(16 * 1024 * 1024 + 1)
  await handle.close()
  expect(await readNow(huge)).toMatchObject({ flaw: 'too-large' })
})

test('keeps a byte order mark', async () => {
  await writeFile(path, '\uFEFFversion: 1\r\n')
  expect(await readNow(path)).toMatchObject({ ok: true, text: '\uFEFFversion: 1\r\n' })
})
