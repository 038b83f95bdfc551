/**
 * The state in a folder: what it keeps over a restart, and what becomes of it when the file or its disk fails.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, test } from 'vitest'
import { FolderStore, type FolderStoreOptions } from '../../../src/state/store/folder-store.ts'
import { hourOf, type StateError } from '../../../src/state/store/store.ts'
import { describesStateStore, KEPT_MESSAGES } from './contract.ts'

const left: (() => unknown)[] = []
afterEach(async () => {
  for (const undo of left.splice(0).reverse()) await undo()
})

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'banyan-state-'))
  left.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function opened(path: string, options: FolderStoreOptions = {}): FolderStore {
  const store = new FolderStore(path, () => null, options)
  left.push(() => store.close())
  return store
}

const fault = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: StateError) => `${error.fault}: ${error.message}`,
  )

describesStateStore(async () => {
  const path = mkdtempSync(join(tmpdir(), 'banyan-state-'))
  const store = new FolderStore(path, () => null, { bounds: { messages: KEPT_MESSAGES } })
  const close = async () => {
    await store.close()
    rmSync(path, { recursive: true })
  }
  return { store, other: store, close }
})

const sum = (hour: number, counts: Record<string, number>, key = '') => ({ group: 'r', key, hour, counts })

test('what was written is there after a restart, in a file for the owner only', async () => {
  const path = folder()
  const one = opened(path)
  await one.write('a', 'g', 'k', '"v"')
  await one.acquire('lease', 'one', 1)
  await one.publish('t', 'x')
  await one.close()
  expect(await fault(one.list('a'))).toMatch('closed')
  const two = opened(path)
  expect(await two.list('a')).toMatchObject([{ key: 'k', value: '"v"', version: 1 }])
  expect(await two.position('t')).toBe(1)
  expect((statSync(join(path, 'state.db')).mode & 0o777).toString(8)).toBe('600')
})

describe('the file', () => {
  test('of a later release is refused by name, and left as it is', async () => {
    const path = folder()
    const file = join(path, 'state.db')
    await opened(path).list('a')
    await left.pop()?.()
    const db = new DatabaseSync(file)
    db.exec('PRAGMA user_version = 7')
    db.close()
    const before = readFileSync(file)
    expect(await fault(opened(path).write('a', 'g', 'k', '1'))).toBe(
      `newer: ${file} has format 7, and this banyan reads up to 1: use the later banyan, or another --state`,
    )
    expect(readFileSync(file)).toEqual(before)
  })

  test('of another program is left as it is', async () => {
    const path = folder()
    const db = new DatabaseSync(join(path, 'state.db'))
    db.exec('CREATE TABLE t (a)')
    db.close()
    expect(await fault(opened(path).list('a'))).toMatch('is not a file of banyan')
  })

  test.each<[string, (file: string) => void]>([
    ['that is garbage', (file) => writeFileSync(file, 'garbage '.repeat(2000))],
    [
      'with a damaged page',
      (file) => {
        const bytes = readFileSync(file)
        bytes.fill(0xff, 4096)
        writeFileSync(file, bytes)
      },
    ],
  ])('%s is moved aside, and another one begun', async (_, damage) => {
    const path = folder()
    const file = join(path, 'state.db')
    const one = opened(path)
    await one.add('s', [sum(hourOf(Date.now()), { n: 1 })])
    await one.close()
    damage(file)
    const damages: string[] = []
    const two = opened(path, { onDamage: (message) => damages.push(message) })
    expect(await two.sums('s')).toEqual([])
    await two.write('a', 'g', 'k', '1')
    expect(damages).toEqual([`${file} is corrupt, moved to ${file}.damaged: starting without what was stored`])
    expect(readdirSync(path).sort()).toEqual(['state.db', 'state.db.damaged'])
  })

  test('that is damaged while it is open is found by the next call, or the one behind it', async () => {
    const path = folder()
    const store = opened(path)
    await store.add('s', [sum(1, { n: 1 }, 'x'.repeat(20_000))])
    const bytes = readFileSync(join(path, 'state.db'))
    writeFileSync(join(path, 'state.db'), Buffer.alloc(bytes.length, 0xff))
    await expect.poll(() => fault(store.write('a', 'g', 'k', '1'))).toBe('none')
    expect(readdirSync(path)).toContain('state.db.damaged')
  })

  test('that another program has locked is waited for a moment, and written when it is free', async () => {
    const path = folder()
    const store = opened(path, { bounds: { lockedMs: 50 } })
    await store.write('a', 'g', 'k', '1')
    const db = new DatabaseSync(join(path, 'state.db'))
    db.exec('BEGIN EXCLUSIVE')
    expect(await fault(store.write('a', 'g', 'k', '2'))).toMatch(/^locked: .*database is locked/)
    expect(await fault(store.list('a'))).toMatch('locked')
    db.exec('ROLLBACK')
    db.close()
    expect(await fault(store.write('a', 'g', 'k', '2'))).toBe('none')
  })

  test('keeps to its bound: the oldest hours go', async () => {
    const path = folder()
    const bytes = 256 * 1024
    const store = opened(path, { bounds: { bytes } })
    await store.write('a', 'g', 'k', '"kept"')
    for (let hour = 0; hour < 60; hour++) {
      const sums = Array.from({ length: 20 }, (_, n) => sum(hour, { n: 1 }, `${n} ${'x'.repeat(200)}`))
      await store.add('s', sums)
    }
    expect(statSync(join(path, 'state.db')).size).toBeLessThanOrEqual(bytes)
    const hours = new Set((await store.sums('s')).map(({ hour }) => hour))
    expect(hours.has(59)).toBe(true)
    expect(hours.has(0)).toBe(false)
    expect(hours.size).toBeGreaterThan(10)
    expect(await store.read('a', 'g', 'k')).not.toBeNull()
  })
})

/** Mounting takes rights that a test may not have. */
function mounted(options: string): string | null {
  const path = folder()
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { stdio: 'ignore' })
  } catch {
    return null
  }
  left.push(() => execFileSync('umount', ['-l', path]))
  return path
}

const canMount = ((): boolean => {
  const path = mounted('size=64k')
  for (const undo of left.splice(0).reverse()) undo()
  return path !== null
})()

describe.runIf(canMount)('a disk', () => {
  test('that is full refuses what is written, and takes it when there is space again', async () => {
    const path = mounted('size=256k') as string
    const store = opened(path)
    await store.write('a', 'g', 'k', '1')
    const filler = join(path, 'filler')
    expect(() => writeFileSync(filler, Buffer.alloc(1024 * 1024))).toThrow('ENOSPC')
    expect(await fault(store.write('a', 'g', 'k', `"${'x'.repeat(50_000)}"`))).toMatch(/^(full|failed): /)
    expect(await fault(store.list('a'))).toBe('none')
    rmSync(filler)
    expect(await fault(store.write('a', 'g', 'k', '2'))).toBe('none')
    expect(await store.read('a', 'g', 'k')).toMatchObject({ value: '2' })
  })

  test('that is read-only is read', async () => {
    const path = mounted('size=1m') as string
    const one = opened(path)
    await one.write('a', 'g', 'k', '1')
    await one.close()
    execFileSync('mount', ['-o', 'remount,ro', path])
    const two = opened(path)
    expect(await two.read('a', 'g', 'k')).toMatchObject({ value: '1' })
    expect(await fault(two.write('a', 'g', 'k', '2'))).toMatch('read-only')
    execFileSync('mount', ['-o', 'remount,rw', path])
    expect(await fault(two.write('a', 'g', 'k', '2'))).toBe('none')
  })
})

test("a folder that can't be made is told by its path", async () => {
  const path = folder()
  writeFileSync(join(path, 'file'), '')
  expect(await fault(opened(join(path, 'file/state')).list('a'))).toMatch(join(path, 'file/state'))
})
