/**
 * Several instances are one: an edit at any of them is in force at all, and all have one history.
 */
import { afterEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { Banyan } from '../support/banyan.ts'
import { startRedis } from '../support/redis.ts'
import { ask, clusterTable, historyOf, left, member, percents, setPercent, soon, undo } from './rig.ts'

/** `BANYAN_ROUNDS=200` runs more of them. */
const ROUNDS = Number(process.env.BANYAN_ROUNDS ?? 50)

afterEach(undo)

test('an edit at one is in force at all when it is answered, in workers too', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const one = await member(table, redis.url)
  // Its own file has no part in it.
  const two = await member(table.replace('percent: 0', 'percent: 77'), redis.url, ['--workers', '2'])
  expect(await percents(two)).toEqual([0, 0, 0])
  await two.program.line((line) => line.includes('differs from the table of cluster shop, and is not followed'))
  const edit = await setPercent(one, 'a', 100, 'go')
  expect(edit).toMatchObject({ status: 200, instances: '2/2' })
  expect(await (await fetch(`http://127.0.0.1:${two.port}/a`)).text()).toBe('new')
  expect(await setPercent(two, 'b', 100)).toMatchObject({ status: 200, instances: '2/2' })
  expect(await (await fetch(`http://127.0.0.1:${one.port}/b`)).text()).toBe('new')
  // It is in force before it is written down.
  await soon(async () => expect(await historyOf(one)).toEqual(await historyOf(two)))
  expect((await historyOf(two)).list[1]).toMatch(/^2 .* anonymous go$/)
  // One that comes later has it all.
  const three = await member(table, redis.url)
  await soon(async () => expect(await historyOf(three)).toEqual(await historyOf(one)))
  expect(await ask(three, 'POST', '/revisions/1/restore')).toMatchObject({ status: 200, instances: '3/3' })
  await soon(async () => expect(await percents(one)).toEqual([0, 0, 0]))
  await soon(async () => expect(await historyOf(one)).toEqual(await historyOf(three)))
})

test('edits at all instances at once make one history, the same everywhere, however often', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const instances = [await member(table, redis.url), ...(await Promise.all([1, 2].map(() => member(table, redis.url))))]
  const before = (await historyOf(instances[0] as Banyan)).current
  let made = 0
  for (let round = 1; round <= ROUNDS; round++) {
    const edits = await Promise.all(
      instances.map((instance, at) => setPercent(instance, 'abc'[at] as string, round % 100, `round ${round}`)),
    )
    for (const { status, json } of edits) expect([status, json.type]).toEqual([200, undefined])
    // Each is a revision of its own: none has overwritten another one.
    const numbers = edits.map(({ json }) => json.revision as number)
    expect(new Set(numbers).size).toBe(3)
    made += 3
  }
  await soon(async () => {
    const [one, ...others] = await Promise.all(instances.map(historyOf))
    expect(one?.current).toBe(before + made)
    for (const other of others) expect(other).toEqual(one)
  })
  const last = ROUNDS % 100
  expect(await Promise.all(instances.map(percents))).toEqual([1, 2, 3].map(() => [last, last, last]))
})

test('edits that have to be parsed as a whole are made too, however fast others edit at another instance', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  // The first dash has a line of its own, so that no route can be read by itself.
  const routes = Array.from(
    { length: 300 },
    (_, at) => `  -${at === 0 ? '\n   ' : ''} { id: r${at}, match: { path: "/r${at}/:id" }, to: modern, percent: 1 }\n`,
  )
  const upstreams = '{ legacy: { servers: [http://127.0.0.1:1] }, modern: { servers: [http://127.0.0.1:2] } }'
  const table = `version: 1\nupstreams: ${upstreams}\ndefault: legacy\nroutes:\n${routes.join('')}`
  const [one, two] = [await member(table, redis.url), await member(table, redis.url)]
  let isOver = false
  let percent = 2
  // The same route too: what is edited there has to be parsed again.
  const moves = async (): Promise<void> => {
    for (; !isOver; percent++) expect((await setPercent(one, `r${percent % 3}`, percent % 100)).status).toBe(200)
  }
  const adds = async (instance: Banyan, name: string): Promise<void> => {
    for (let at = 0; at < 5; at++) {
      const route = { id: `${name}${at}`, match: { path: `/${name}/${at}` }, to: 'modern' }
      expect((await ask(instance, 'POST', '/routes', route)).status).toBe(201)
      expect((await ask(instance, 'PATCH', '/routes/r0', { sticky: `cookie:${name}${at}` })).status).toBe(200)
    }
  }
  await Promise.all([
    moves(),
    Promise.all([adds(one, 'a'), adds(two, 'b')]).finally(() => {
      isOver = true
    }),
  ])
  await soon(async () => expect(await historyOf(one)).toEqual(await historyOf(two)))
  const tables = await Promise.all(
    [one, two].map(async ({ adminPort }) => (await fetch(`http://127.0.0.1:${adminPort}/routes.yaml`)).text()),
  )
  expect(tables[0]).toBe(tables[1])
  expect(
    parse(tables[0] as string)
      .routes.map(({ id }: { id: string }) => id)
      .slice(300)
      .sort(),
  ).toEqual(['a', 'b'].flatMap((name) => [0, 1, 2, 3, 4].map((at) => `${name}${at}`)))
  // Those that were made before, and one for each edit.
  expect((await historyOf(one)).current).toBe(1 + 20 + percent - 2)
})
