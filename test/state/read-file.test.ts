/**
 * Files that an operator names: regular ones up to a bound are read, everything else is told in words, and nothing is waited for.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readFileWithin, readFileWithinNow } from '../../src/state/read-file.ts'

const MIB = 1024 * 1024
const folder = mkdtempSync(join(tmpdir(), 'banyan-read-'))
const at = (name: string): string => join(folder, name)
const socket = createServer().listen(at('socket'))
afterAll(() => {
  socket.close()
  rmSync(folder, { recursive: true })
})

writeFileSync(at('small'), 'żółw\n')
writeFileSync(at('empty'), '')
writeFileSync(at('full'), Buffer.alloc(MIB, 'x'))
writeFileSync(at('beyond'), Buffer.alloc(MIB + 1, 'x'))
writeFileSync(at('huge'), '')
truncateSync(at('huge'), 300 * MIB)
mkdirSync(at('folder'))
execFileSync('mkfifo', [at('fifo')])
symlinkSync('small', at('link'))
symlinkSync('fifo', at('link-to-fifo'))
symlinkSync('loop-b', at('loop-a'))
symlinkSync('loop-a', at('loop-b'))

test.each([
  ['small', 'żółw\n'],
  ['empty', ''],
  ['link', 'żółw\n'],
  ['full', 'x'.repeat(MIB)],
])('%s is read', async (name, text) => {
  expect(String(await readFileWithin(at(name), MIB))).toBe(text)
  expect(String(readFileWithinNow(at(name), MIB))).toBe(text)
})

test('a file of /proc, whose size says nothing, is read', async () => {
  expect(String(await readFileWithin('/proc/self/status', MIB))).toMatch(/^Name:.*VmRSS/s)
  expect(String(readFileWithinNow('/proc/self/status', MIB))).toMatch(/^Name:.*VmRSS/s)
})

test.each([
  [at('none'), 'missing', 'no such file'],
  [`${at('small')}/x`, 'missing', 'no such file'],
  [at('folder'), 'no-file', 'is a directory'],
  [at('fifo'), 'no-file', 'is not a regular file'],
  [at('link-to-fifo'), 'no-file', 'is not a regular file'],
  [at('socket'), 'no-file', 'is not a regular file'],
  ['/dev/zero', 'no-file', 'is not a regular file'],
  ['/dev/tty', 'no-file', 'is not a regular file'],
  [at('beyond'), 'too-large', 'is larger than 1 MiB'],
  [at('huge'), 'too-large', 'is larger than 1 MiB'],
  [at('loop-a'), 'unreadable', "can't be read: too many symbolic links"],
  [`${at('a')}\0b`, 'unreadable', "can't be read: file name contains a null byte"],
])('%s is refused', async (path, flaw, message) => {
  await expect(readFileWithin(path, MIB)).rejects.toMatchObject({ flaw, message })
  expect(() => readFileWithinNow(path, MIB)).toThrow(expect.objectContaining({ flaw, message }))
})
