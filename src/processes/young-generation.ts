/**
 * Limits V8's young generation: by default it grows to 64 MiB, which a proxy with little garbage per request does not need.
 */
import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** It grows by doubling while it is at most this size, so up to 16 MiB. */
const GROWS_UP_TO_BYTES = 8 * 1024 * 1024

const LOOK_EVERY_MS = 1000

/**
 * Limits the young generation to 16 MiB for the rest of the process, or more if Node was started with a larger
 * `--min-semi-space-size`. V8's own limit can be set on Node's command line only, but its growth factor can be changed at
 * any time.
 */
export function holdYoungGeneration(): void {
  // It grows during collections. The observer is disconnected once it has grown: its callback costs time after every pause.
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
  // Objects loaded at startup survive: room for garbage would be wasted on them.
  growBy(1)
  // V8 shrinks it when the process is idle.
  setInterval(look, LOOK_EVERY_MS).unref()
}

function growBy(factor: number): void {
  setFlagsFromString(`--semi-space-growth-factor=${factor}`)
}

function mayGrow(): boolean {
  const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
  return young !== undefined && young.space_size <= GROWS_UP_TO_BYTES
}
