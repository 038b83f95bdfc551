/**
 * A million distinct paths: the memory of endpoints stays level, and what is used stays known.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { UsageTally } from '../../../src/state/discovery/usage-tally.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const LETTERS = 'abcdefghijklmnopqrstuvwxyz'
/** Without digits: nothing tells it from a name. */
const word = (number: number): string =>
  [...number.toString(26)].map((digit) => LETTERS[Number.parseInt(digit, 26)]).join('')

test('memory is level, reports are bounded, a busy endpoint stays', () => {
  const tally = new UsageTally()
  const ask = (target: string, at: number): void =>
    tally.unclaimed(
      {
        ...{
          method: 'GET',
          target,
          status: 200,
          isAnswered: true,
          isAmbiguous: false,
          durationMs: 1,
          ignoresCase: false,
        },
        caller: () => ({ agent: word(at), network: `10.${at % 256}.0.0/24` }),
      },
      at,
    )
  const known: number[] = []
  let [busy, beyond] = [0, 0]
  for (let at = 1; at <= 1_000_000; at++) {
    ask(`/${word(at % 997)}/${word(at)}/${word(at >> 3)}/${word(at * 7)}`, at)
    if (at % 10 === 0) ask('/busy/page', at)
    if (at % 10_000 !== 0) continue
    const { endpoints, more } = tally.take()
    expect(endpoints.length).toBeLessThanOrEqual(2000)
    busy += endpoints.find(({ path }) => path === '/busy/page')?.requests ?? 0
    beyond += more
    if (at % 100_000 !== 0) continue
    collect()
    known.push(process.memoryUsage().heapUsed)
  }
  expect(busy).toBe(100_000)
  expect(beyond).toBeLessThan(1_000_000)
  expect((known.at(-1) as number) - (known[1] as number)).toBeLessThan(4 * 1024 * 1024)
})
