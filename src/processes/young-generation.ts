/**
 * Limits V8's young generation: by default it grows to 64 MiB, which a proxy with little garbage per request does not need.
 */
import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** It grows by doubling: up to here it may, which makes 16 MiB. */
const GROWS_UP_TO_BYTES = 8 * 1024 * 1024

const LOOK_EVERY_MS = 1000

/**
 * Holds the young generation at 16 MiB for the rest of the process; more, where Node was started with a larger
 * `--min-semi-space-size`. V8's own limit can be given on the command line of Node only; the factor by which it grows counts
 * at any time.
 */
export function holdYoungGeneration(): void {
  // It grows in collections. Once it has, nobody is to be told of each: that would cost something right behind every pause.
  const observer = new PerformanceObserver(() => {
    if (mayGrow()) return
    observer.disconnect()
    growBy(1)
  })
  const look = (): void => {
    if (!mayGrow()) return
    observer.observe({ entryTypes: ['gc'] })
    growBy(2)
  }
  // What is loaded at the start stays: room for garbage would be wasted on it.
  growBy(1)
  // V8 makes it smaller when the process is at rest.
  setInterval(look, LOOK_EVERY_MS).unref()
}

function growBy(factor: number): void {
  setFlagsFromString(`--semi-space-growth-factor=${factor}`)
}

function mayGrow(): boolean {
  const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
  return young !== undefined && young.space_size <= GROWS_UP_TO_BYTES
}
