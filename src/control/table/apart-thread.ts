/**
 * The thread for table texts: runs the jobs that it receives, one after the other.
 */
import { parentPort } from 'node:worker_threads'
import type { Answer, Order } from './apart.ts'
import { JOBS } from './apart-jobs.ts'

parentPort?.on('message', ({ id, name, args }: Order) => {
  parentPort?.postMessage(answerTo(id, name, args))
})

function answerTo(id: number, name: Order['name'], args: readonly string[]): Answer {
  try {
    const job = JOBS[name] as (...given: readonly string[]) => unknown
    return { id, ok: true, value: job(...args) }
  } catch (error) {
    return { id, ok: false, message: (error as Error).stack ?? String(error) }
  }
}
