/**
 * An instance that ends: one that is stopped is none any more at once, and one that was killed is waited for no longer than a few
 * seconds, and counted for ten.
 */
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { startRedis } from '../support/redis.ts'
import { ask, clusterTable, left, member, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

const statesOf = async (at: Banyan): Promise<string[]> =>
  (await ask(at, 'GET', '/status')).json.instances.map(({ state }: { state: string }) => state)

test('an instance that was stopped is forgotten at once, one that was killed soon, and no edit waits for it long', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const [one, two, three] = [
    await member(table, redis.url),
    await member(table, redis.url),
    await member(table, redis.url),
  ]
  await soon(async () => expect(await setPercent(one, 'a', 10)).toMatchObject({ status: 200, instances: '3/3' }))
  await three.stop()
  expect(await setPercent(one, 'a', 20)).toMatchObject({ status: 200, instances: '2/2' })
  expect(await statesOf(one)).toEqual(['in-step', 'in-step'])
  two.program.child.kill('SIGKILL')
  // It may be cut off, and serve on: so it is said, until it is known that edits wait for it no more.
  expect(await setPercent(one, 'a', 30)).toMatchObject({ status: 200, instances: '1/2' })
  await soon(async () => expect(await setPercent(one, 'a', 40)).toMatchObject({ status: 200, instances: '1/1' }))
  expect(await statesOf(one)).toEqual(['in-step', 'silent'])
  // A drain counts it for longer: a deploy stops the server afterwards.
  const [, port] = /localhost:(\d+)/.exec(table) as unknown as [string, string]
  const server = `/upstreams/legacy/servers/${encodeURIComponent(`localhost:${port}`)}`
  expect(await ask(one, 'POST', `${server}/drain`)).toMatchObject({ status: 200, instances: '1/2' })
  expect(await ask(one, 'POST', `${server}/undrain`)).toMatchObject({ status: 200, instances: '1/2' })
})

test('an answered command can be seen at every instance', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const ramp = 'sticky: [header:x-key], ramp: { steps: [20, 50, all], approve: [50], hold: 1h }'
  const table = (await clusterTable()).replace('path: /a }, to: modern,', `path: /a }, to: modern, ${ramp},`)
  const one = await member(table, redis.url)
  const two = await member(table, redis.url)
  await soon(async () => expect(await setPercent(one, 'b', 1)).toMatchObject({ status: 200, instances: '2/2' }))
  for (const [n, [verb, status, percent, body]] of (
    [
      ['start', 'running', 20],
      ['pause', 'paused', 20],
      ['resume', 'running', 20],
      ['approve', 'running', 20],
      ['step', 'running', 50, { reason: 'quiet night' }],
      ['abort', 'aborted', 0, { back: true }],
    ] as const
  ).entries()) {
    const [asked, other] = n % 2 === 0 ? [one, two] : [two, one]
    const said = await ask(asked, 'POST', `/routes/a/ramp/${verb}`, body)
    expect(said, verb).toMatchObject({ status: 200, instances: '2/2', json: { status } })
    const [shown, shownRoute] = await Promise.all(['/ramp', ''].map((path) => ask(other, 'GET', `/routes/a${path}`)))
    const { status: word, isApproved, events } = shown!.json
    expect({ word, isApproved, events }, verb).toEqual({
      ...{ word: said.json.status, isApproved: said.json.isApproved, events: said.json.events },
    })
    expect(shownRoute!.json, verb).toMatchObject({ percent })
  }
  // So can a revision: it is restored elsewhere as soon as it was answered.
  for (let percent = 10; percent < 20; percent++) {
    const { json } = await setPercent(one, 'c', percent)
    expect(await ask(two, 'GET', `/revisions/${json.revision}`)).toMatchObject({ status: 200 })
    expect(await ask(two, 'POST', `/revisions/${json.revision}/revert`), `${percent}`).toMatchObject({ status: 200 })
  }
})
