/**
 * A revision of the table is in force in all workers or in none, and an edit is answered when it is in all.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { banyanWith, get, Load, metric, patch, setPercent, upstreamNamed, workersBecome, workersOf } from './rig.ts'

async function split(): Promise<string> {
  const [legacy, modern] = [await upstreamNamed('legacy'), await upstreamNamed('modern')]
  return `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy}"] }
  modern: { servers: ["http://127.0.0.1:${modern}"] }
default: legacy
routes:
  - id: all
    match: { path: /* }
    to: modern
    percent: 0
`
}

/** One request on each of so many connections, so that each worker has some. */
async function answersOf(banyan: Banyan, agents: readonly Agent[]): Promise<string[]> {
  const answers = await Promise.all(agents.map((agent) => get(banyan.port, '/', agent)))
  return [...new Set(answers.map(({ text, error }) => error ?? text))]
}

function kept(count: number): Agent[] {
  const agents = Array.from({ length: count }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
  onTestFinished(() => {
    for (const agent of agents) agent.destroy()
  })
  return agents
}

const revisionsOf = async (banyan: Banyan) => [...new Set((await workersOf(banyan)).map(({ revision }) => revision))]

test('40 edits under load: none of its requests fails, and after each answer every worker decides by it', async () => {
  const banyan = await banyanWith(2, { table: await split() })
  const agents = kept(8)
  const load = new Load(banyan.port, 8)
  await load.more(100)
  for (let edit = 1; edit <= 40; edit++) {
    const percent = edit % 2 === 1 ? 100 : 0
    expect((await setPercent(banyan, 'all', percent)).status).toBe(200)
    expect(await answersOf(banyan, agents)).toEqual([percent === 100 ? 'modern' : 'legacy'])
    await load.more(10)
  }
  await load.stop()
  expect(load.failed).toEqual([])
  expect(await revisionsOf(banyan)).toEqual([41])
  expect(await metric(banyan, 'banyan_worker_revision{worker="2"}')).toBe(41)
})

test('an edit of the file reaches all of them too, an invalid one none', async () => {
  const table = await split()
  const banyan = await banyanWith(2, { table })
  const agents = kept(4)
  writeFileSync(banyan.tableFile, table.replace('percent: 0', 'percent: 100'))
  await workersBecome(banyan, (workers) => workers.every(({ revision }) => revision === 2))
  expect(await answersOf(banyan, agents)).toEqual(['modern'])
  writeFileSync(banyan.tableFile, table.replace('percent: 0', 'percent: 101'))
  await banyan.program.line((line) => line.includes('"event":"table-refused"'))
  expect(await revisionsOf(banyan)).toEqual([2])
  expect(await answersOf(banyan, agents)).toEqual(['modern'])
})

/** Middleware that makes one worker, whichever is first, unable to make what the others can. */
const ONE_IS_BLIND = (folder: string): string => `
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import tls from 'node:tls'
try {
  fs.mkdirSync(${JSON.stringify(join(folder, 'first'))})
  const make = tls.createSecureContext
  tls.createSecureContext = (options) => {
    if (options.ca !== undefined) throw new Error('ca.pem: not in this worker')
    return make(options)
  }
  syncBuiltinESMExports()
} catch {}
export default (ctx, next) => next()
`

test('what one worker can not make ready is refused for all, with its words', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-workers-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'blind.mjs')
  const ca = join(import.meta.dirname, '../support/tls/ca.pem')
  writeFileSync(file, ONE_IS_BLIND(folder))
  const table = await split()
  const banyan = await banyanWith(2, { table, args: ['--middleware', file] })
  const secured = table.replace(
    '  modern: {',
    `  secure: { servers: ["https://127.0.0.1:1"], tls: { ca: ${ca} } }\n  modern: {`,
  )
  const put = (text: string) =>
    fetch(`http://127.0.0.1:${banyan.adminPort}/routes.yaml`, {
      method: 'PUT',
      headers: { 'content-type': 'application/yaml' },
      body: text,
    })
  const refused = await put(secured)
  expect(refused.status).toBe(422)
  expect(await refused.text()).toContain('ca.pem: not in this worker')
  expect(await revisionsOf(banyan)).toEqual([1])
  // The other worker, which had prepared it, serves on; and what all of them can make ready is taken.
  expect(await answersOf(banyan, kept(4))).toEqual(['legacy'])
  expect((await setPercent(banyan, 'all', 100)).status).toBe(200)
  expect(await answersOf(banyan, kept(4))).toEqual(['modern'])
})

test('a worker that dies between the phases holds nobody up, and its successor has the new revision', async () => {
  const banyan = await banyanWith(2, { table: await split() })
  const [first] = await workersOf(banyan)
  // It neither answers nor ends, until it is killed.
  process.kill(first!.pid, 'SIGSTOP')
  const edit = setPercent(banyan, 'all', 100)
  process.kill(first!.pid, 'SIGKILL')
  expect((await edit).status).toBe(200)
  const after = await workersBecome(banyan, (workers) => workers.every(({ state }) => state === 'up'))
  expect(after.map(({ revision }) => revision)).toEqual([2, 2])
  expect(await answersOf(banyan, kept(4))).toEqual(['modern'])
})

test('a worker that hangs makes an edit refused, and nothing changes', async () => {
  const banyan = await banyanWith(2, { table: await split() })
  const [first] = await workersOf(banyan)
  process.kill(first!.pid, 'SIGSTOP')
  const edit = await setPercent(banyan, 'all', 100)
  process.kill(first!.pid, 'SIGCONT')
  expect(edit.status).toBe(503)
  expect(await edit.text()).toContain('did not respond')
  await workersBecome(banyan, (workers) => workers.every(({ revision }) => revision === 1))
  expect((await patch(banyan, 'all', { percent: 100 })).status).toBe(200)
  expect(await revisionsOf(banyan)).toEqual([2])
})
