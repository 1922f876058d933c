/** Data of a screen: loaded when it is shown, repeated while the page is visible, kept while a repeat fails. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { CallError } from '../lib/errors.ts';
import { asCallError } from './session.ts';

export interface Loaded<Data> {
  readonly data: Data | undefined;
  readonly error: CallError | undefined;
  readonly loading: boolean;
  reload(): void;
}

type Every<Data> = number | ((data: Data) => number | undefined);

/**
 * @param load makes the calls; called again when `keys` change
 * @param every how long until it is repeated, in ms; never without it. Nothing is repeated while the page is hidden.
 */
export function useLoad<Data>(
  load: (signal: AbortSignal) => Promise<Data>,
  keys: readonly unknown[],
  every?: Every<Data>,
): Loaded<Data> {
  const [state, setState] = useState<{ key: string; data?: Data; error?: CallError; loading: boolean }>({
    key: '',
    loading: true,
  });
  const key = JSON.stringify(keys);
  const latest = useRef({ load, every });
  latest.current = { load, every };
  const [turn, setTurn] = useState(0);

  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const plan = (ms: number | undefined) => {
      if (ms !== undefined && !abort.signal.aborted) timer = setTimeout(run, ms);
    };
    let running = false;
    let done = false;
    const run = async () => {
      clearTimeout(timer);
      if (document.hidden || running) return;
      running = true;
      setState((before) => (before.key === key ? { ...before, loading: true } : { key, loading: true }));
      try {
        const data = await latest.current.load(abort.signal);
        if (abort.signal.aborted) return;
        done = true;
        setState({ key, data, loading: false });
        const { every } = latest.current;
        running = false;
        plan(typeof every === 'function' ? every(data) : every);
      } catch (error) {
        if (abort.signal.aborted) return;
        const failure = asCallError(error);
        setState((before) => ({ ...before, key, error: failure, loading: false }));
        const { every } = latest.current;
        if (typeof every === 'number') plan(Math.max(every, (failure.retryAfterSeconds ?? 10) * 1_000));
      } finally {
        running = false;
      }
    };
    const seen = () => {
      if (!document.hidden && (!done || latest.current.every !== undefined)) void run();
    };
    if (document.hidden) setState((before) => (before.key === key ? before : { key, loading: true }));
    void run();
    document.addEventListener('visibilitychange', seen);
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [key, turn]);

  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const isCurrent = state.key === key;
  return {
    data: isCurrent ? state.data : undefined,
    error: isCurrent ? state.error : undefined,
    loading: !isCurrent || state.loading,
    reload,
  };
}

/** An action behind a button: one at a time, and its failure is shown. */
export function useAction<Arguments extends unknown[]>(act: (...given: Arguments) => Promise<void>) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<CallError | undefined>();
  const run = async (...given: Arguments) => {
    if (busy) return;
    setBusy(true);
    setError(undefined);
    try {
      await act(...given);
    } catch (failure) {
      setError(asCallError(failure));
    } finally {
      setBusy(false);
    }
  };
  return { run, busy, error, clear: () => setError(undefined) };
}
