/**
 * Hooks that all views use.
 */
import { useEffect, useState } from 'preact/hooks'
import { ApiError, read } from './api.ts'
import { live } from './live.ts'
import { whenSeen } from './seen.ts'

/** Draws anew with each line of the stream. */
export function useLive(): typeof live {
  const [, draw] = useState(0)
  useEffect(() => live.onChange(() => draw((count) => count + 1)), [])
  return live
}

/** What was read, the last error, and a way to read it again now. */
export interface Loaded<Body> {
  readonly body: Body | null
  readonly error: string | null
  again(): void
}

/**
 * Reads a resource now, and every so often, while the tab is seen.
 * @param path null: nothing
 * @param everyMs 0: only once
 * @param version it is read at once when this changes
 */
export function useResource<Body>(path: string | null, everyMs = 0, version: unknown = null): Loaded<Body> {
  const [state, setState] = useState<{ path: string | null; body: Body | null; error: string | null }>({
    path,
    body: null,
    error: null,
  })
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    if (path === null) return
    let isOver = false
    let timer: ReturnType<typeof setTimeout> | undefined
    const load = async (): Promise<void> => {
      await whenSeen()
      if (isOver) return
      try {
        const body = await read<Body>(path)
        if (!isOver) setState({ path, body, error: null })
      } catch (error) {
        if (isOver) return
        if (error instanceof ApiError && error.wantsToken) live.restart()
        setState((known) => ({ path, body: known.path === path ? known.body : null, error: (error as Error).message }))
      }
      if (!isOver && everyMs > 0) timer = setTimeout(load, everyMs)
    }
    void load()
    return () => {
      isOver = true
      clearTimeout(timer)
    }
  }, [path, everyMs, turn, version])
  return {
    body: state.path === path ? state.body : null,
    error: state.error,
    again: () => setTurn((count) => count + 1),
  }
}

/** The part of the URL behind `#`, such as `/routes/gtin-lookup`. */
export function usePlace(): string {
  const [place, setPlace] = useState(placeNow())
  useEffect(() => {
    const hear = (): void => setPlace(placeNow())
    addEventListener('hashchange', hear)
    return () => removeEventListener('hashchange', hear)
  }, [])
  return place
}

function placeNow(): string {
  return location.hash.replace(/^#/, '') || '/'
}
