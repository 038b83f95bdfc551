/**
 * `banyan deploy blue-green`: what it refuses before anything is changed. The proxy is a stand-in.
 */
import { expect, test } from 'vitest'
import { banyan } from '../rig.ts'
import { standIn, surroundings } from './stand-in.ts'

const SWITCH = ['deploy', 'blue-green', 'blue', 'green']

test.each([
  [['unhealthy', 'unhealthy', 'unhealthy'], 's1 is unhealthy'],
  [['unhealthy', 'up', 'unhealthy'], 's1 is unhealthy at 2 of 3 instances'],
  [['unhealthy', 'ejected', 'up'], 's1 is unhealthy at 1 of 3 instances, s1 is ejected at 1 of 3 instances'],
])('a server that is %j at the instances of a cluster is named once for each state', async (states, said) => {
  const [own, ...others] = states.map((state) => ({ id: 's1', state, exchanges: 0, failures: 0 }))
  const elsewhere = others.map((one, at) => ({ instance: `other ${at}`, live: [one] }))
  const admin = await standIn(() => ({ servers: [{ id: 's1', url: 'http://s1', weight: 1, live: [own], elsewhere }] }))
  const ended = await banyan([...SWITCH, '--admin', admin], surroundings())
  expect(ended).toMatchObject({ code: 1, err: `banyan: green is not ready: ${said}\n` })
})
