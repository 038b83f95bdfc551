/**
 * Deploys that are interrupted or that only watch: what they say is left, and what they undo. The proxy is a stand-in.
 */
import { expect, test } from 'vitest'
import { banyan } from '../rig.ts'
import { type Answers, AWAY, fleet, standIn, surroundings } from './stand-in.ts'

const ROLLING = ['deploy', 'rolling', 'gtin', '--replace', 'replace {id}']

test('rolling, while a command runs: what is replaced, drained and unchanged is told', async () => {
  const { drained, answers } = fleet()
  const around = surroundings((command, interrupt) => command === 'replace two' && interrupt('SIGINT'))
  const ended = await banyan([...ROLLING, '--admin', await standIn(answers)], around)
  expect(ended.code).toBe(7)
  expect(ended.out.split('\n').at(-2)).toBe(
    'stopped: SIGINT: one replaced; two still drained, its command has run; three unchanged; to go on: the same with --only two --only three',
  )
  expect([...drained]).toEqual(['two'])
})

test('rolling, while a server drains: it is used again', async () => {
  const around = surroundings()
  const { drained, answers } = fleet((id) => id === 'two' && around.interrupt('SIGTERM'))
  const ended = await banyan([...ROLLING, '--admin', await standIn(answers)], around)
  expect(ended.out.split('\n').at(-2)).toBe(
    'stopped: SIGTERM: one replaced; two, three unchanged; to go on: the same with --only two --only three',
  )
  expect([...drained]).toEqual([])
})

test.each([
  [false, 1, 'refused: nothing was replaced: one is unchanged'],
  [
    true,
    7,
    'stopped: nothing was replaced, but one is still drained; to use it again: banyan servers undrain gtin one',
  ],
])('rolling, where the first drain gets no answer, and is done %j: exit %d', async (isDone, code, last) => {
  const { drained, answers } = fleet()
  const admin = await standIn((method, path, body) => {
    const isDrain = path.includes('/servers/one/drain')
    if (!isDrain || isDone) answers(method, path, body)
    return isDrain ? undefined : answers(method, path, body)
  })
  const ended = await banyan([...ROLLING, '--admin', admin], surroundings())
  expect([ended.code, ended.out.split('\n').at(-2)]).toEqual([code, last])
  expect([...drained]).toEqual(isDone ? ['one'] : [])
})

test('rolling with --abort-on-interrupt: what was replaced is reverted', async () => {
  const { drained, answers } = fleet()
  const commands: string[] = []
  const around = surroundings((command, interrupt) => {
    commands.push(command)
    if (command === 'replace two') interrupt('SIGHUP')
  })
  const flags = ['--revert', 'revert {id}', '--abort-on-interrupt', '--admin', await standIn(answers)]
  const ended = await banyan([...ROLLING, ...flags], around)
  expect(ended.code).toBe(6)
  expect(ended.out).toContain('failed: SIGHUP\n')
  expect(commands).toEqual(['replace one', 'replace two', 'revert two', 'revert one'])
  expect([...drained]).toEqual([])
})

test('rolling, where a server can not be used again: it is told which one is drained', async () => {
  const { drained, answers } = fleet(undefined, 'two', 1)
  const ended = async (...more: string[]) => {
    const { code, out } = await banyan([...ROLLING, ...more, '--admin', await standIn(answers)], surroundings())
    drained.clear()
    return [code, out.split('\n').at(-2)]
  }
  expect(await ended('--only', 'two')).toEqual([
    7,
    'stopped: nothing was replaced, but two is still drained; to use it again: banyan servers undrain gtin two',
  ])
  expect(await ended()).toEqual([
    7,
    "stopped: two is still drained, one replaced; use --revert 'COMMAND' for automatic rollback",
  ])
  expect(await ended('--revert', 'revert {id}')).toEqual([
    7,
    'stopped: rolled back 1 server of gtin, but two is still drained; to use it again: banyan servers undrain gtin two',
  ])
})

test('rolling, where what was replaced can not be rolled back: it is told what is left', async () => {
  let isAway = false
  const { answers } = fleet(undefined, 'two')
  const around = surroundings()
  const run = async (command: string): Promise<number> => (command.startsWith('revert') ? 1 : 0)
  const flags = ['--revert', 'revert {id}', '--admin', await standIn((...said) => (isAway ? AWAY : answers(...said)))]
  const ended = await banyan([...ROLLING, ...flags], { ...around, run })
  const why = 'two: the command exited with 1; not rolled back: one, two'
  expect([ended.code, ended.out.split('\n').at(-2)]).toEqual([
    7,
    `stopped: cannot roll back two: ${why}; two is still drained`,
  ])
  const interrupted = surroundings((_command, interrupt) => {
    isAway = true
    interrupt('SIGINT')
  })
  const gone = await banyan([...ROLLING, ...flags], interrupted)
  expect([gone.code, gone.out.split('\n').at(-2)]).toEqual([
    7,
    'stopped: SIGINT: the command has run for one; one may still be drained: banyan servers',
  ])
})

test.each([
  [[], 7, 'stopped: SIGINT: green is in use, and not watched any more; to switch back: banyan revert 8', []],
  [['--abort-on-interrupt'], 6, 'reverted: switched back to blue: route lookup', ['/revisions/8/revert']],
])(
  'blue-green, while it watches %j: what is in use is told, or it is switched back',
  async (flags, code, last, asked) => {
    const around = surroundings()
    const posted: string[] = []
    const answers: Answers = (method, path) => {
      if (method === 'POST') posted.push(path)
      if (path === '/routes.yaml') {
        if (method === 'PUT') around.interrupt('SIGINT')
        const route = { id: 'lookup', match: { path: '/a' }, to: 'blue' }
        return { version: 1, default: 'green', routes: [route], revision: 8 }
      }
      return fleet().answers(method, path, null)
    }
    const words = ['deploy', 'blue-green', 'blue', 'green', ...flags, '--admin', await standIn(answers)]
    const ended = await banyan(words, around)
    expect([ended.code, ended.out.split('\n').at(-2), posted]).toEqual([code, last, asked])
  },
)

/** A ramp that is at these statuses, one look after the other; undefined is a proxy that is away. */
function ramping(statuses: readonly (string | undefined)[]) {
  const asked: { path: string; body: unknown }[] = []
  let look = -1
  const answers = (method: string, path: string, body: unknown): object | undefined => {
    if (path === '/routes/lookup') return { id: 'lookup', to: 'gtin', percent: 0 }
    if (path.startsWith('/upstreams/')) return fleet().answers('GET', path, null)
    if (method === 'POST') asked.push({ path, body })
    if (path.endsWith('/abort')) return { why: 'aborted by anna, back to 0 %' }
    if (method !== 'POST') look++
    const status = look < 0 ? 'running' : statuses[Math.min(look, statuses.length - 1)]
    if (status === undefined) return undefined
    const events = [{ at: '1', by: 'anna', what: '5 %: started by anna' }]
    const withoutKey = { exchanges: 40, withoutKey: 10, moveAt: null }
    return { status, why: `why ${status}`, step: 5, percent: 5, next: 50, events, withoutKey }
  }
  return { answers, asked }
}

const CANARY = ['deploy', 'canary', 'lookup', '--steps', '5,50', '--hold', '5m']

test.each([
  [['running', undefined, undefined, 'done'], 0, 'done: route lookup: 0 -> 5 -> 50 % to gtin'],
  [['running', 'rolled-back'], 6, 'reverted: lookup: why rolled-back'],
  [['aborted'], 7, 'stopped: lookup: why aborted'],
  [['paused'], 7, 'stopped: lookup: why paused; to go on: banyan ramp resume lookup'],
])('a canary of a route follows its ramp: %j', async (statuses, code, last) => {
  const { answers, asked } = ramping(statuses)
  const ended = await banyan([...CANARY, '--admin', await standIn(answers)], surroundings())
  expect(ended).toMatchObject({ code, err: '' })
  expect(ended.out.split('\n')).toEqual([
    '10 of the last 40 requests have no sticky key: no step moves these at once',
    'lookup: 5 %: started by anna',
    last,
    '',
  ])
  expect(asked).toEqual([
    { path: '/routes/lookup/ramp/start', body: { plan: { steps: [5, 50], hold: '300000ms', guard: {} } } },
  ])
})

test('a canary of a route with --ready is taken back where evidence does not come', async () => {
  const { answers, asked } = ramping(['holding'])
  const ended = await banyan([...CANARY, '--ready', '1m', '--admin', await standIn(answers)], surroundings())
  expect(ended.code).toBe(6)
  expect(ended.out).toContain('not enough evidence within 60 s (--ready): why holding: aborted by anna, back to 0 %\n')
  expect(asked.at(-1)).toEqual({ path: '/routes/lookup/ramp/abort', body: { back: true } })
})

test.each([
  [
    [],
    7,
    /^stopped: SIGINT: the ramp of lookup goes on at 5 %, next 50 %; to see it: banyan ramp status lookup; to end/,
  ],
  [['--abort-on-interrupt'], 6, /^reverted: lookup: SIGINT: aborted by anna, back to 0 %$/],
])('an interrupted canary of a route says what goes on, or ends it: %j', async (flags, code, last) => {
  const { answers, asked } = ramping(['running'])
  const around = surroundings()
  let looks = 0
  const sleep = async () => void (++looks === 3 && around.interrupt('SIGINT'))
  const ended = await banyan([...CANARY, ...flags, '--admin', await standIn(answers)], { ...around, sleep })
  expect(ended.code).toBe(code)
  expect(ended.out.split('\n').at(-2)).toMatch(last)
  expect(asked.length).toBe(flags.length === 0 ? 1 : 2)
})

test.each([
  ['SIGTERM', []],
  ['SIGTERM', ['--abort-on-interrupt']],
  [null, []],
])('a canary of a route whose proxy is gone says that its ramp may go on: %s %j', async (signal, flags) => {
  const { answers } = ramping(['running', 'running', undefined])
  const around = surroundings()
  let looks = 0
  const sleep = async (ms: number) => {
    await around.sleep(ms)
    if (++looks === 3 && signal !== null) around.interrupt(signal)
  }
  const ended = await banyan([...CANARY, ...flags, '--admin', await standIn(answers)], { ...around, sleep })
  expect(ended.code).toBe(7)
  expect(ended.out.split('\n').at(-2)).toMatch(
    new RegExp(
      `^stopped: ${signal === null ? '' : `${signal}: `}cannot reach .*; the ramp of lookup may go on; to see it: banyan ramp status lookup; to end it: banyan ramp abort lookup --back$`,
    ),
  )
})
