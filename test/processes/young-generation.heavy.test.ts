/**
 * The memory that V8 takes for young objects stays small under any load, and is there when it is needed.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const MIB = 1024 * 1024

/** As a proxy under load: always the same number of requests under way, each of some KiB. Prints the largest in the end. */
const PROGRAM = `
import { getHeapSpaceStatistics } from 'node:v8'
import { setImmediate } from 'node:timers/promises'
const committed = () => getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_size
const module = process.argv[1]
if (module !== 'none') (await import(module)).holdYoungGeneration()
const underWay = []
let most = 0
let n = 0
const work = async () => {
  for (let i = 0; i < 200; i++) underWay[n++ % 100] = Array.from({ length: 300 }, (_, j) => ({ j }))
  most = Math.max(most, committed())
  await setImmediate()
}
while (most <= 4 * ${MIB}) await work()
const before = process.cpuUsage()
while (process.cpuUsage(before).user < 2_500_000) await work()
console.log(most)
`

async function largest(module: string): Promise<number> {
  const args = ['--input-type=module', '-e', PROGRAM, module]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return Number(stdout)
}

test('it grows to 16 MiB and no further, where by itself it takes 64', async () => {
  const module = new URL('../../src/processes/young-generation.ts', import.meta.url).href
  const [held, free] = await Promise.all([largest(module), largest('none')])
  expect(held).toBeLessThanOrEqual(16 * MIB)
  expect(free).toBeGreaterThan(16 * MIB)
})
