/**
 * Watching the table file: every way in which editors, tools and Kubernetes change a file, on a real folder.
 */
import { appendFile, mkdir, open, readdir, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TableFile, type WatchTimes } from '../../../src/control/table/file.ts'
import type { Reading } from '../../../src/control/table/settled-text.ts'
import { folder, QUICK } from '../rig.ts'

let home: Awaited<ReturnType<typeof folder>>
let path: string
let file: TableFile | undefined

beforeEach(async () => {
  home = await folder()
  path = join(home.path, 'routes.yaml')
})
afterEach(async () => {
  file?.close()
  file = undefined
  await home.remove()
})

/** Watches a path; `until` resolves with the first reading that fits, `seen` has all of them. */
function watching(at: string, times: WatchTimes = QUICK) {
  const seen: Reading[] = []
  let wake = () => {}
  file = new TableFile(at, times)
  file.watch(async (reading) => {
    seen.push(reading)
    wake()
  })
  const until = async (fits: (reading: Reading) => boolean): Promise<Reading> => {
    for (;;) {
      const found = seen.find(fits)
      if (found !== undefined) return found
      await new Promise<void>((done) => {
        wake = done
      })
    }
  }
  const text = (wanted: string) => until((reading) => reading.ok && reading.text === wanted)
  return { seen, until, text }
}

test('hands on the present text first', async () => {
  await writeFile(path, 'one\n')
  await watching(path).text('one\n')
})

test('removes what an edit has left beside it whose process was killed, and nothing else', async () => {
  await writeFile(path, 'one\n')
  const longAgo = new Date(Date.now() - 3_600_000)
  for (const name of ['.routes.yaml.banyan-1-0a', '.routes.yaml.swp', '.other.yaml.banyan-1-0a']) {
    await writeFile(join(home.path, name), 'half')
    await utimes(join(home.path, name), longAgo, longAgo)
  }
  await writeFile(join(home.path, '.routes.yaml.banyan-2-0b'), 'being written')
  watching(path)
  await expect
    .poll(async () => (await readdir(home.path)).sort())
    .toEqual(['.other.yaml.banyan-1-0a', '.routes.yaml.banyan-2-0b', '.routes.yaml.swp', 'routes.yaml'])
})

test('sees a rename over the file', async () => {
  await writeFile(path, 'one\n')
  const { text } = watching(path)
  await text('one\n')
  await writeFile(`${path}.tmp`, 'two\n')
  await rename(`${path}.tmp`, path)
  await text('two\n')
})

test('sees a truncation followed by a write, and nothing in between', async () => {
  await writeFile(path, 'one\n')
  const { seen, text } = watching(path, { ...QUICK, suspiciousMs: 2_000 })
  await text('one\n')
  const handle = await open(path, 'r+')
  await handle.truncate(0)
  await handle.write('two\n')
  await handle.close()
  await text('two\n')
  expect(seen.map((reading) => reading.ok && reading.text)).toEqual(['one\n', 'two\n'])
})

test('hands on no half of a text that is written in pieces', async () => {
  await writeFile(path, 'one\n')
  const { seen, text } = watching(path, { pollMs: 10, quietMs: 500, suspiciousMs: 500, limitMs: 20_000 })
  await text('one\n')
  const handle = await open(path, 'w')
  for (const line of ['a\n', 'b\n', 'c\n', 'd\n']) {
    await handle.write(line)
    await handle.sync()
  }
  await handle.close()
  await text('a\nb\nc\nd\n')
  expect(seen).toHaveLength(2)
})

test('sees a backup by rename and a new file, as vim writes', async () => {
  await writeFile(path, 'one\n')
  const { seen, text } = watching(path, { ...QUICK, suspiciousMs: 2_000 })
  await text('one\n')
  await rename(path, `${path}~`)
  await writeFile(path, 'two\n')
  await unlink(`${path}~`)
  await text('two\n')
  expect(seen).toHaveLength(2)
})

test('sees an addition in place', async () => {
  await writeFile(path, 'one\n')
  const { text } = watching(path)
  await text('one\n')
  await appendFile(path, 'two\n')
  await text('one\ntwo\n')
})

test('sees the swap of a Kubernetes ConfigMap, again and again', async () => {
  const publish = async (name: string, content: string) => {
    await mkdir(join(home.path, name))
    await writeFile(join(home.path, name, 'routes.yaml'), content)
    await symlink(name, join(home.path, '..data_tmp'))
    await rename(join(home.path, '..data_tmp'), join(home.path, '..data'))
  }
  await publish('..2026_01', 'one\n')
  await symlink('..data/routes.yaml', path)
  const { text } = watching(path)
  await text('one\n')
  for (const [name, before, content] of [
    ['..2026_02', '..2026_01', 'two\n'],
    ['..2026_03', '..2026_02', 'three\n'],
  ] as const) {
    await publish(name, content)
    await rm(join(home.path, before), { recursive: true })
    await text(content)
  }
})

test('sees an edit behind a symbolic link into another folder', async () => {
  const other = join(home.path, 'other')
  await mkdir(other)
  await writeFile(join(other, 'table.yaml'), 'one\n')
  await symlink(join(other, 'table.yaml'), path)
  const { text } = watching(path)
  await text('one\n')
  await writeFile(join(other, 'table.yaml'), 'two\n')
  await text('two\n')
})

test('sees the swap of a link above the folder, of which no event tells', async () => {
  for (const release of ['1', '2']) {
    await mkdir(join(home.path, release))
    await writeFile(join(home.path, release, 'routes.yaml'), `${release}\n`)
  }
  await symlink('1', join(home.path, 'current'))
  const { text } = watching(join(home.path, 'current', 'routes.yaml'))
  await text('1\n')
  await symlink('2', join(home.path, 'next'))
  await rename(join(home.path, 'next'), join(home.path, 'current'))
  await text('2\n')
})

test('says that the folder vanished, and goes on when it returns', async () => {
  const inner = join(home.path, 'inner')
  await mkdir(inner)
  await writeFile(join(inner, 'routes.yaml'), 'one\n')
  const { until, text } = watching(join(inner, 'routes.yaml'))
  await text('one\n')
  await rm(inner, { recursive: true })
  await until((reading) => !reading.ok && reading.flaw === 'missing')
  await mkdir(inner)
  await writeFile(join(inner, 'routes.yaml'), 'two\n')
  await text('two\n')
  await writeFile(join(inner, 'routes.yaml'), 'three\n')
  await text('three\n')
})

test('hands on a burst of edits as few readings, the last of them for certain', async () => {
  await writeFile(path, 'one\n')
  const { seen, text } = watching(path)
  await text('one\n')
  for (let edit = 0; edit < 200; edit++) await writeFile(path, `edit ${edit}\n`)
  await text('edit 199\n')
  expect(seen.length).toBeLessThan(50)
})

test('hands on nothing after it is closed', async () => {
  await writeFile(path, 'one\n')
  const { seen, text } = watching(path)
  await text('one\n')
  file?.close()
  await writeFile(path, 'two\n')
  const { text: other } = watching(path)
  await other('two\n')
  expect(seen).toHaveLength(1)
})
