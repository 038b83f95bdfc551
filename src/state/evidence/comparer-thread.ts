/**
 * The thread that compares answers, one pair after the other.
 */
import { parentPort } from 'node:worker_threads'
import { compare } from '../../rules/evidence/compare.ts'
import type { Outcome, Pair } from './comparer.ts'
import { decode } from './decode.ts'

parentPort?.on('message', (pair: Pair) => parentPort?.postMessage(outcomeOf(pair)))
// Loading the code takes no time from the first comparison.
parentPort?.postMessage('ready')

function outcomeOf({ from, to, settings }: Pair): Outcome {
  try {
    return { ok: true, comparison: compare(from, to, settings, decode) }
  } catch (error) {
    return { ok: false, message: (error as Error).stack ?? String(error) }
  }
}
