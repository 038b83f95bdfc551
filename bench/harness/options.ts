/**
 * The command line of the benchmark.
 */
import { parseArgs } from 'node:util'

/** What the user asked for. */
export interface Options {
  /** Names of scenarios to run; empty means all of the standard set. */
  readonly scenarios: readonly string[]
  readonly json: boolean
  /** Seconds that each contestant is loaded in each round. */
  readonly seconds: number
  readonly rounds: number
  /** Names of the contestants to run, or null for all. */
  readonly only: ReadonlySet<string> | null
  readonly cpuProf: boolean
  /** How long the soak lasts. */
  readonly minutes: number
  /** Parts of the names of the guard's worlds to simulate, or null for all. */
  readonly worlds: readonly string[] | null
  readonly help: boolean
}

export const USAGE = `usage: npm run bench -- [scenario ...] [options]

  --json            print the results as one JSON document
  --seconds N       seconds per contestant and round (default 4)
  --rounds N        rounds (default 5)
  --only A,B        only these contestants
  --cpu-prof        profile banyan and print where its time goes (the figures of such a run are slower)
  --minutes N       length of the soak (default 10)
  --worlds A,B      of the guard only worlds with A or B in their name
  --help            this text and the list of scenarios
`

/** Reads the arguments after the program's name. Throws an Error that says what is wrong with them. */
export function readOptions(args: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '5' },
      only: { type: 'string' },
      'cpu-prof': { type: 'boolean', default: false },
      minutes: { type: 'string', default: '10' },
      worlds: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  return {
    scenarios: positionals,
    json: values.json,
    seconds: wholeNumber('--seconds', values.seconds),
    rounds: wholeNumber('--rounds', values.rounds),
    only: values.only === undefined ? null : new Set(values.only.split(',')),
    cpuProf: values['cpu-prof'],
    minutes: aboveZero('--minutes', values.minutes),
    worlds: values.worlds?.split(',') ?? null,
    help: values.help,
  }
}

function wholeNumber(name: string, text: string): number {
  const value = aboveZero(name, text)
  if (!Number.isInteger(value)) throw new Error(`${name}: expected a whole number, got ${text}`)
  return value
}

function aboveZero(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0 && Number.isFinite(value))) throw new Error(`${name}: expected a number above 0, got ${text}`)
  return value
}
