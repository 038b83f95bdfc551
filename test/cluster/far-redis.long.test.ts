/**
 * A cluster whose Redis is farther away than the intervals of its instances are long.
 */
import { afterEach, expect, test } from 'vitest'
import { startRedis } from '../support/redis.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { ask, clusterTable, Gate, left, member, soon, undo } from './rig.ts'

afterEach(undo)

test('whoever is asked gets to run the ramps, however far away Redis is', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const ramp = 'sticky: [header:x-key], ramp: { steps: [50, 60], hold: 1h }'
  const table = (await clusterTable()).replace('path: /a }, to: modern,', `path: /a }, to: modern, ${ramp},`)
  // Farther than the instances look at the table again, and tell of themselves while requests are in flight at a drained server.
  const far = await new Gate(redis.port, 600).open()
  const [one, two, three] = await Promise.all([far, far, far].map((url) => member(table, url)))
  await soon(async () => expect((await ask(one!, 'GET', '/status')).json.cluster.rampsRunBy).not.toBe(''))
  for (const [at, command] of [
    [one, 'start'],
    [two, 'pause'],
    [three, 'resume'],
    [one, 'abort'],
    [two, 'start'],
  ] as const)
    expect(await ask(at!, 'POST', `/routes/a/ramp/${command}`), command).toMatchObject({ status: 200 })
})

test('a drain is answered while requests are in flight at the server, however far away Redis is', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  let release = (): void => {}
  const released = new Promise<void>((done) => (release = done))
  let held = 0
  const [a, b] = await Promise.all(
    [0, 1].map((nth) =>
      scriptedUpstream(async (request) => {
        if (nth === 0) held++
        await released
        await request.ok()
      }),
    ),
  )
  left.push(() => Promise.all([a?.stop(), b?.stop()]))
  const table = `version: 1
upstreams:
  main: { servers: ["http://127.0.0.1:${a?.port}", "http://127.0.0.1:${b?.port}"] }
default: main
`
  // Farther than an instance tells of itself while a drain goes on.
  const one = await member(table, await new Gate(redis.port, 500).open())
  const visits: Promise<unknown>[] = []
  await soon(async () => {
    visits.push(fetch(`http://127.0.0.1:${one.port}/x`))
    expect(held).toBeGreaterThan(0)
  })
  const server = `/upstreams/main/servers/${encodeURIComponent(`127.0.0.1:${a?.port}`)}`
  const drain = (): ReturnType<typeof ask> => ask(one, 'POST', `${server}/drain`)
  await soon(async () => expect(await drain()).toMatchObject({ status: 200, instances: '1/1', json: { active: held } }))
  expect(await ask(one, 'GET', '/status')).toMatchObject({ status: 200 })
  release()
  await Promise.all(visits)
  await soon(async () => expect(await drain()).toMatchObject({ json: { active: 0 } }))
})
