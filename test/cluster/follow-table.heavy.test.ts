/**
 * Instances of a cluster that follow their table file: what becomes a revision, and what is drift.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { startRedis } from '../support/redis.ts'
import { ask, clusterTable, left, member, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

function edit({ tableFile }: Banyan, change: (text: string) => string): string {
  const text = change(readFileSync(tableFile, 'utf8'))
  writeFileSync(`${tableFile}.new`, text)
  renameSync(`${tableFile}.new`, tableFile)
  return text
}

const withStep = (route: string, sticky: string) => (text: string) =>
  text.replace(`match: { path: /${route} }`, `match: { path: /${route} }, sticky: ${sticky}`)

const stickyOf = async (banyan: Banyan): Promise<unknown[]> =>
  (await ask(banyan, 'GET', '/routes')).json.routes.map(({ sticky = null }) => sticky)

const driftOf = async (banyan: Banyan): Promise<string | null> =>
  (await ask(banyan, 'GET', '/status')).json.cluster.followed.drift

async function metricOf({ adminPort }: Banyan): Promise<string> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
  return /^banyan_table_drift (\d)$/m.exec(text)?.[1] ?? ''
}

async function putTable(banyan: Banyan, text: string): Promise<number> {
  const headers = { 'Content-Type': 'application/yaml' }
  const url = `http://127.0.0.1:${banyan.adminPort}/routes.yaml`
  return (await fetch(url, { method: 'PUT', headers, body: text })).status
}

test('a change of the file becomes a revision, live percents stay, and what was changed otherwise is never overwritten', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const one = await member(table, redis.url, ['--follow-table'])
  const two = await member(table, redis.url, ['--follow-table'])
  expect(await setPercent(one, 'a', 25)).toMatchObject({ status: 200, instances: '2/2' })
  expect(await driftOf(one)).toBeNull()

  // The percents of the file are not those that are live.
  edit(one, (text) =>
    withStep('a', 'ip')(text).replace('to: modern, percent: 0 }\n  - { id: c', 'to: modern, percent: 9 }\n  - { id: c'),
  )
  await soon(async () => expect(await stickyOf(two)).toEqual(['ip', null, null]))
  expect(await percents(two)).toEqual([25, 0, 0])
  // It is in force before it is written down.
  await soon(async () => {
    const { json } = await ask(two, 'GET', '/revisions')
    expect(json.revisions[0]).toMatchObject({ revision: 3, author: 'file' })
  })

  // The file of the other one is still what it was: it brings nothing back.
  await soon(async () => expect(await driftOf(two)).toBe('differs'))
  expect(await driftOf(one)).toBeNull()
  edit(two, withStep('a', 'ip'))
  await soon(async () => expect(await driftOf(two)).toBeNull())

  // Somebody changes the table by the API: that is drift at both.
  expect(await ask(two, 'PATCH', '/routes/b', { sticky: 'ip' })).toMatchObject({ status: 200 })
  for (const each of [one, two]) {
    await soon(async () => expect(await driftOf(each)).toBe('differs'))
    expect(await metricOf(each)).toBe('1')
    expect((await ask(each, 'GET', '/readyz')).json.reasons.join()).toContain('is not the table that is live')
  }
  const { followed } = (await ask(one, 'GET', '/status')).json.cluster
  expect(followed.changes).toMatchObject([{ name: 'b', keys: [{ key: 'sticky', before: 'ip', after: null }] }])
  const file = edit(one, withStep('c', 'ip'))
  await soon(async () => expect((await ask(one, 'GET', '/status')).json.cluster.followed.changes).toHaveLength(2))
  expect(await stickyOf(two)).toEqual(['ip', 'ip', null])
  expect(one.log.filter((line) => line.includes('table-drift')).join()).toContain('banyan apply')

  // Who makes the file the table ends the drift, and from then on it is followed again.
  expect(await putTable(two, file)).toBe(200)
  await soon(async () => expect(await driftOf(one)).toBeNull())
  expect(await metricOf(one)).toBe('0')
  edit(one, withStep('b', 'request'))
  await soon(async () => expect(await stickyOf(two)).toEqual(['ip', 'request', 'ip']))

  // One that starts with a file of earlier brings nothing back, and an invalid file changes nothing.
  const late = await member(table, redis.url, ['--follow-table'])
  await soon(async () => expect(await driftOf(late)).toBe('differs'))
  edit(late, (text) => text.replace('to: modern', 'to: modem'))
  await soon(async () => expect(await driftOf(late)).toMatch(/^is invalid: .*unknown upstream/))
  expect(await stickyOf(two)).toEqual(['ip', 'request', 'ip'])
})

test('what keeps a file from being applied is told, by the other instances too', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const one = await member(table, redis.url, ['--follow-table'])
  const two = await member(table, redis.url)
  const rest = (text: string) => text.slice(text.indexOf('\n  legacy:') + 1)
  edit(one, (text) =>
    text.replace(rest(text), `  x: { servers: ["https://127.0.0.1:1"], tls: { ca: no.pem } }\n${rest(text)}`),
  )
  await soon(async () => expect(await driftOf(one)).toMatch(/^could not be applied: is invalid: .*:3:\d+: .*no\.pem/))
  await soon(async () => {
    const { instances } = (await ask(two, 'GET', '/status')).json
    const of = (self: boolean) => instances.find((each: { self: boolean }) => each.self === self)
    expect(of(true)).toMatchObject({ state: 'in-step', drift: null })
    expect(of(false)).toMatchObject({ state: 'in-step', drift: expect.stringContaining('no.pem') })
  })
})

test('an instance begins with the table of the cluster where its file can not be used, and has its history without a folder', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const pod = ['--follow-table', '--keep-revisions', '0']
  const one = await member(table, redis.url, pod)
  for (const percent of [1, 2, 3, 4]) expect(await setPercent(one, 'a', percent)).toMatchObject({ status: 200 })
  const two = await member('version: 1\nupstream: {}\n', redis.url, pod)
  await soon(async () => expect(await driftOf(two)).toMatch(/^is invalid: /))
  expect(await percents(two)).toEqual([4, 0, 0])
  await soon(async () => {
    const { json } = await ask(two, 'GET', '/revisions')
    expect(json.revisions.map(({ revision }: { revision: number }) => revision)).toEqual([5, 4, 3, 2, 1])
  })
  expect(await setPercent(two, 'b', 7)).toMatchObject({ status: 200, instances: '2/2' })
  await expect(member('version: 1\n', 'redis://127.0.0.1:1', pod)).rejects.toThrow(
    /is invalid[\s\S]*and the table of cluster shop can't be used instead/,
  )
})

test('with --take-percent the percents of the file count', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const one = await member(await clusterTable(), redis.url, ['--follow-table', '--take-percent'])
  edit(one, (text) => text.replace('percent: 0', 'percent: 30'))
  await soon(async () => expect(await percents(one)).toEqual([30, 0, 0]))
  await setPercent(one, 'b', 5)
  await soon(async () => expect(await driftOf(one)).toBe('differs'))
  edit(one, (text) => text.replace('percent: 30', 'percent: 40'))
  await soon(async () => expect((await ask(one, 'GET', '/status')).json.cluster.followed.changes).toHaveLength(2))
  expect(await percents(one)).toEqual([30, 5, 0])
})
