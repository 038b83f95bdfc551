/**
 * Replacing the table file: whole or not at all, whatever stands in the way, with real processes that die in the middle.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, lstat, mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { replaceFile } from '../../../src/control/table/durable-write.ts'
import { folder } from '../rig.ts'

const MODULE = new URL('../../../src/control/table/durable-write.ts', import.meta.url).href
const isRoot = process.getuid?.() === 0
const always = () => true

let home: Awaited<ReturnType<typeof folder>>
let path: string

beforeEach(async () => {
  home = await folder()
  path = join(home.path, 'routes.yaml')
  await writeFile(path, 'old\n')
})
afterEach(() => home.remove())

test('replaces the text and leaves nothing else behind', async () => {
  await replaceFile(path, 'new żółw\n', (bytes) => bytes.toString() === 'old\n')
  expect(await readFile(path, 'utf8')).toBe('new żółw\n')
  expect(await readdir(home.path)).toEqual(['routes.yaml'])
})

test('keeps mode and owner', async () => {
  await chmod(path, 0o640)
  if (isRoot) await chown(path, 1234, 5678)
  const before = await stat(path)
  await replaceFile(path, 'new\n', always)
  const { mode, uid, gid } = await stat(path)
  expect({ mode, uid, gid }).toEqual({ mode: before.mode, uid: before.uid, gid: before.gid })
})

test('writes through symbolic links, which stay', async () => {
  await symlink('routes.yaml', join(home.path, 'inner'))
  await symlink(join(home.path, 'inner'), join(home.path, 'outer'))
  await replaceFile(join(home.path, 'outer'), 'new\n', always)
  expect(await readFile(path, 'utf8')).toBe('new\n')
  expect((await lstat(join(home.path, 'inner'))).isSymbolicLink()).toBe(true)
  expect((await lstat(join(home.path, 'outer'))).isSymbolicLink()).toBe(true)
  expect((await readdir(home.path)).sort()).toEqual(['inner', 'outer', 'routes.yaml'])
})

test('does not write over a text that changed meanwhile', async () => {
  await expect(replaceFile(path, 'new\n', () => false)).rejects.toMatchObject({ flaw: 'changed' })
  expect(await readFile(path, 'utf8')).toBe('old\n')
  expect(await readdir(home.path)).toEqual(['routes.yaml'])
})

test('does not write over a file that is read-only, not even as the superuser', async () => {
  await chmod(path, 0o444)
  await expect(replaceFile(path, 'new\n', always)).rejects.toMatchObject({ flaw: 'read-only' })
  expect(await readFile(path, 'utf8')).toBe('old\n')
})

test('refuses a folder, and a file that is gone', async () => {
  const inner = join(home.path, 'inner')
  await mkdir(inner)
  await expect(replaceFile(inner, 'new\n', always)).rejects.toMatchObject({
    flaw: 'no-file',
    message: 'is a directory',
  })
  await expect(replaceFile(join(home.path, 'gone'), 'new\n', always)).rejects.toMatchObject({ flaw: 'no-file' })
  expect((await readdir(home.path)).sort()).toEqual(['inner', 'routes.yaml'])
})

test('says read-only where the folder may not be written to', async () => {
  await chmod(path, 0o666)
  await chmod(home.path, 0o555)
  // The superuser may write anywhere, so the attempt is made by nobody.
  const child = run(`await attempt('new')`, isRoot ? { uid: 65534, gid: 65534 } : {})
  expect(await lastLine(child)).toBe('read-only')
  await chmod(home.path, 0o755)
  expect(await readFile(path, 'utf8')).toBe('old\n')
  expect(await readdir(home.path)).toEqual(['routes.yaml'])
})

test('says no-space where the disk takes only a part, and takes that part away again', async () => {
  // A limit on the size of files fails a write in its middle, as a full disk does.
  const child = run(`await attempt('x'.repeat(1_000_000))`, {}, ['sh', '-c', 'ulimit -f 16; exec "$0" "$@"'])
  expect(await lastLine(child)).toBe('no-space')
  expect(await readFile(path, 'utf8')).toBe('old\n')
  expect(await readdir(home.path)).toEqual(['routes.yaml'])
})

test('holds the old or the new text at any moment, and when the writer is killed', async () => {
  const texts = ['a', 'b'].map((letter) => `${letter.repeat(400_000)}\n`)
  for (let round = 0; round < 5; round++) {
    const child = run(`for (let i = 0; ; i++) { await attempt((i % 2 ? 'b' : 'a').repeat(400_000) + '\\n') }`)
    const exit = once(child, 'exit')
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
    await once(lines, 'line')
    // What a reader finds now is what a crash now would leave. A look in each of many writes, at another point of each.
    const seen = new Set<string>()
    for (let look = 0; look < 200; look++) seen.add(await readFile(path, 'utf8'))
    child.kill('SIGKILL')
    await exit
    seen.add(await readFile(path, 'utf8'))
    expect([...seen].filter((text) => !texts.includes(text)).map((text) => text.length)).toEqual([])
  }
  const left = (await readdir(home.path)).filter((name) => name !== 'routes.yaml')
  const longAgo = new Date(Date.now() - 3_600_000)
  for (const name of left) await utimes(join(home.path, name), longAgo, longAgo)
  await writeFile(join(home.path, '.routes.yaml.banyan-1-abandoned'), 'half')
  await utimes(join(home.path, '.routes.yaml.banyan-1-abandoned'), longAgo, longAgo)
  await replaceFile(path, 'after\n', always)
  expect(await readdir(home.path)).toEqual(['routes.yaml'])
})

/** A process of its own in which `attempt(text)` replaces the file and prints `done` or the flaw. */
function run(code: string, as: { uid?: number; gid?: number } = {}, before: string[] = []): ChildProcess {
  const script = `
    import { replaceFile } from ${JSON.stringify(MODULE)}
    const attempt = (text) => replaceFile(${JSON.stringify(path)}, text, () => true)
      .then(() => console.log('done'), (error) => console.log(error.flaw ?? error.stack))
    ${code}`
  const [command, ...args] = [...before, process.execPath, '--input-type=module', '-e', script]
  return spawn(command as string, args, { ...as, stdio: ['ignore', 'pipe', 'inherit'] })
}

async function lastLine(child: ChildProcess): Promise<string | undefined> {
  let last: string | undefined
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) last = line
  return last
}
