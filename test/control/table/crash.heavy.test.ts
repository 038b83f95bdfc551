/**
 * kill -9 at random points of edits: after each restart the table is the old or the new revision, never less.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readTable } from '../../../src/rules/language/text.ts'
import { type Program, startProgram } from '../../support/process.ts'
import { TABLE } from '../rig.ts'

const EDITS = 100
const KILLS = 10

let folder: string
let path: string

/** A folder with a table. It goes when everything that the test has begun later is over: what is mounted in it, too. */
function setUp(): void {
  folder = mkdtempSync(join(tmpdir(), 'banyan-crash-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  path = join(folder, 'routes.yaml')
  writeFileSync(path, TABLE)
}

interface Running {
  readonly program: Program
  readonly admin: number
}

async function start(...more: readonly string[]): Promise<Running> {
  const flags = ['--table', path, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--workers', '0']
  const program = startProgram(['bin/banyan.js', 'serve', ...flags, ...more])
  onTestFinished(() => program.kill())
  const line = await program.line((one) => one.startsWith('banyan ready '))
  return { program, admin: Number(/\badmin http:\/\/[^ ]*:(\d+)/.exec(line)?.[1]) }
}

interface Reply {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
  readonly json: any
}

function ask(port: number, method: string, target: string, body?: object): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', 'Banyan-Reason': 'crash test' }
    const req = request({ host: '127.0.0.1', port, method, path: target, headers, agent: false }, (res) => {
      let text = ''
      res.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      res.on('error', reject)
      res.on('end', () => resolve({ status: res.statusCode as number, json: JSON.parse(text) }))
    })
    req.on('error', reject)
    req.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

const withPercent = (percent: number): string => TABLE.replace('percent: 5  ', `percent: ${percent}  `)

test('the table is the old or the new one, comments and all, and no answered edit is ever lost', async () => {
  setUp()
  let running = await start()
  let edit = 0
  /** How long the last edit took, from its request to its answer. */
  let tookMs = 0
  let acknowledged = { percent: 5, revision: 1 }
  for (let kill = 0; kill < KILLS; kill++) {
    const until = edit + EDITS / KILLS
    let asked = acknowledged.percent
    for (; edit < until; edit++) {
      asked = 6 + (edit % 90) + edit / 1000
      const last = edit === until - 1
      const askedAtMs = performance.now()
      const answer = ask(running.admin, 'PATCH', '/routes/gtin-lookup', { percent: asked })
      if (!last) {
        const { status, json } = await answer
        expect(status).toBe(200)
        acknowledged = { percent: json.percent, revision: json.revision }
        tookMs = performance.now() - askedAtMs
        continue
      }
      // A different point of the edit each time, from before it has arrived until after it is answered.
      const settled = answer.then(
        ({ json }) => {
          acknowledged = { percent: json.percent, revision: json.revision }
        },
        () => {},
      )
      const killAtMs = performance.now() + (tookMs * 2 * kill) / KILLS
      while (performance.now() < killAtMs) await new Promise((resolve) => setImmediate(resolve))
      await running.program.kill()
      await settled
    }
    const text = readFileSync(path, 'utf8')
    expect([withPercent(acknowledged.percent), withPercent(asked)]).toContain(text)
    running = await start()
    const { json } = await ask(running.admin, 'GET', '/routes/gtin-lookup')
    expect(text).toBe(withPercent(json.percent))
    expect(readFileSync(path, 'utf8')).toBe(text)
    // The number goes on, and says whether the edit under way was made.
    expect(json.revision).toBe(acknowledged.revision + (json.percent === acknowledged.percent ? 0 : 1))
    acknowledged = { percent: json.percent, revision: json.revision }
  }
  const { json } = await ask(running.admin, 'GET', '/revisions')
  const numbers = json.revisions.map(({ revision }: { revision: number }) => revision)
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, at) => acknowledged.revision - at))
  // Whichever edits died on their way, each one that was made has its author.
  for (const one of json.revisions.slice(0, -1))
    expect(one).toMatchObject({ author: 'anonymous', reason: 'crash test' })
  expect(await running.program.stop()).toBe(0)
})

/**
 * A small disk of its own, with the table on it; null where that may not be mounted. A limit on file sizes and a folder
 * without the right to write stand in for it then, in durable-write.test.ts.
 */
function smallDisk(): string | null {
  setUp()
  const disk = join(folder, 'disk')
  mkdirSync(disk)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], { stdio: 'ignore' })
  } catch {
    return null
  }
  onTestFinished(() => void execFileSync('umount', ['-l', disk]))
  path = join(disk, 'routes.yaml')
  writeFileSync(path, TABLE)
  return disk
}

test('a full disk refuses edits, says so, and the last good revision goes on serving', async () => {
  const disk = smallDisk()
  if (disk === null) return
  const { program, admin } = await start()
  expect((await ask(admin, 'PATCH', '/routes/gtin-lookup', { percent: 6 })).status).toBe(200)
  try {
    writeFileSync(join(disk, 'ballast'), Buffer.alloc(128 * 1024))
  } catch {
    // As full as it gets.
  }
  const refused = await ask(admin, 'PATCH', '/routes/gtin-lookup', { percent: 7 })
  expect(refused).toMatchObject({ status: 507, json: { type: 'urn:banyan:problem:no-space' } })
  expect(readFileSync(path, 'utf8')).toBe(withPercent(6))
  expect((await ask(admin, 'GET', '/routes/gtin-lookup')).json).toMatchObject({ percent: 6, revision: 2 })
  const ready = await ask(admin, 'GET', '/readyz')
  expect(ready).toMatchObject({
    status: 200,
    json: { ready: true, reasons: [expect.stringContaining('not stored on disk')] },
  })
  rmSync(join(disk, 'ballast'))
  expect((await ask(admin, 'PATCH', '/routes/gtin-lookup', { percent: 7 })).json).toMatchObject({ revision: 3 })
  expect((await ask(admin, 'GET', '/readyz')).json.reasons).toEqual([])
  expect(readTable(readFileSync(path, 'utf8'), 'routes.yaml').ok).toBe(true)
  expect(await program.stop()).toBe(0)
})

test('a disk that has become read-only, and a folder where the file was: said, and the last good revision goes on serving', async () => {
  const disk = smallDisk()
  if (disk === null) return
  const remount = (how: string) => execFileSync('mount', ['-o', `remount,${how}`, disk])
  // A disk with files that are open for writing can't be made read-only by hand.
  const { program, admin } = await start('--state', join(folder, 'state'))
  const edit = (percent: number) => ask(admin, 'PATCH', '/routes/gtin-lookup', { percent })
  remount('ro')
  const refused = await edit(7)
  expect(refused).toMatchObject({ status: 403, json: { type: 'urn:banyan:problem:table-read-only' } })
  expect(refused.json.detail).toContain('read-only file system')
  expect((await ask(admin, 'GET', '/routes/gtin-lookup')).json).toMatchObject({ percent: 5, revision: 1 })
  remount('rw')
  expect((await edit(7)).json).toMatchObject({ percent: 7, revision: 2 })
  rmSync(path)
  mkdirSync(path)
  const problems = [{ message: 'is a directory' }]
  expect(await edit(8)).toMatchObject({ status: 409, json: { problems } })
  expect((await ask(admin, 'GET', '/routes/gtin-lookup')).json).toMatchObject({ percent: 7, revision: 2 })
  expect((await ask(admin, 'GET', '/readyz')).json).toMatchObject({ ready: true, table: { refused: { problems } } })
  rmSync(path, { recursive: true })
  writeFileSync(path, withPercent(9))
  // The edit of the file is taken in before the edit by the API is made.
  expect((await edit(10)).json).toMatchObject({ percent: 10, revision: 4 })
  expect(await program.stop()).toBe(0)
})
