/*
 * The replicated log: elections, writes, storage loss and changes of the membership. README.md says what it covers.
 *
 * A storage is one life of a replica, and a seat names a storage: 0, 1 and 2 have the first seats. With RECOVERY 3 is the
 * next life of replica 2 and 4 that of replica 1; with RECONFIGURE 3 is another replica. Positions are 1..N. Position 0 is
 * the bootstrap's membership entry, learned everywhere from the beginning.
 *
 * The network is what was sent and stays sent: a write may be received at any later time, any number of times, or never.
 * A promise is counted in the step that gives it: a later count finds the same answer, a lost one only binds the replica.
 */

#if defined(RECOVERY) && defined(LOSSES) && LOSSES == 2
#define S 5
#elif (defined(RECOVERY) && !defined(BREAK_H2) && !defined(BREAK_RULE21)) || defined(RECONFIGURE)
#define S 4
#else
#define S 3 /* also when the storage that was lost votes on in its old seat */
#endif
#define FIRST_SEATS 7

#ifndef N
#define N 2 /* positions, at most 4 */
#endif
#ifndef C
#define C 2 /* instances of a coordinator, at most 3 */
#endif

/* One ballot for each instance of a coordinator. */
#if defined(BREAK_NONCE)
#define BALLOT(c) ((c) == 2 -> 1 : (c) + 1) /* 2 is a restart of 0 */
#elif defined(BREAK_H3)
#define BALLOT(c) ((c) == 2 -> 2 : (c) + 1) /* 2 is 0 after a refusal by a replica that promised to 1 */
#else
#define BALLOT(c) ((c) + 1)
#endif

#if defined(BREAK_H1) || defined(BREAK_H2) || defined(BREAK_H3) || defined(BREAK_RULE21) || defined(BREAK_NONCE) || \
  defined(BREAK_MEMBERSHIP) || defined(BREAK_SEAT_PROMISE) || defined(BREAK_ENTRY_BALLOT)
#define BROKEN
#endif

/* Values. Below NOP they are the coordinators' own: c writes c + 1. From SEATS on they are membership entries, seats as bits. */
#define NOP 8
#define SEATS 32
#define IS_SEATS(v) ((v) >= SEATS)

#define ALL 255 /* votes of a quorum: nobody has to count further */

/* ---- replicas: by storage, records by storage and position ---- */
byte promised[S]; /* a ballot, 0 for none */
byte learned[S];  /* everything up to this position is learned */
byte rec[S * N];  /* accepted and not yet learned: 1 + the coordinator that wrote it, 0 for none */
#define REC(s, p) rec[(s) * N + (p) - 1]

/* ---- coordinators, and their writes by coordinator and position ---- */
bit leads[C];     /* asks for promises, or leads */
byte goes_by[C];  /* position of the membership entry that it goes by */
byte votes[C];    /* while it asks: the promises it counted, as bits */
byte at[C];       /* while it asks: the highest first missing position of its voters; then what it writes */
byte plan[C * N]; /* the record of the highest ballot among its voters, as in rec; PLAN_NOP for a gap */
byte value[C * N];     /* what it wrote, 0 for nothing */
byte accepts[C * N];   /* who accepted it, as bits, or ALL */
byte written_by[C * N]; /* membership that the write goes by */
#define W(c, p) ((c) * N + (p) - 1)
#define PLAN_NOP (C + 1)

/* ---- what is true, whoever knows it ---- */
byte chosen[N + 1];        /* 0 is the bootstrap's */
byte chosen_ballot[N + 1]; /* lowest ballot under which it was chosen: the one that catch-up can bring */
byte lost;                 /* 1: replica 2 lost its storage, 2: replica 1 did, as bits */

hidden byte i, x, best;

/* A step is one atomic sequence: an option of the loop says who does what, then the work is done. */
#define TO_PROMISE 1
#define TO_FOLLOW 2
#define TO_ACCEPT 3
#define TO_LEARN 4
#define TO_FORGET 5
byte work, by, where, at_storage;
#define PICK(w, c, p, s) \
  work = w; \
  by = c; \
  where = p; \
  at_storage = s

/* Position of the membership in force for whoever knows the positions up to l. */
#if N == 2
#define NEWEST(l) ((l) >= 2 && IS_SEATS(chosen[2]) -> 2 : ((l) >= 1 && IS_SEATS(chosen[1]) -> 1 : 0))
#elif N == 3
#define NEWEST(l) ((l) >= 3 && IS_SEATS(chosen[3]) -> 3 : ((l) >= 2 && IS_SEATS(chosen[2]) -> 2 : \
  ((l) >= 1 && IS_SEATS(chosen[1]) -> 1 : 0)))
#elif N == 4
#define NEWEST(l) ((l) >= 4 && IS_SEATS(chosen[4]) -> 4 : ((l) >= 3 && IS_SEATS(chosen[3]) -> 3 : \
  ((l) >= 2 && IS_SEATS(chosen[2]) -> 2 : ((l) >= 1 && IS_SEATS(chosen[1]) -> 1 : 0))))
#endif

#define SEATS_AT(p) (chosen[p] - SEATS)
#define BITS(m) (((m) & 1) + (((m) >> 1) & 1) + (((m) >> 2) & 1) + (((m) >> 3) & 1) + (((m) >> 4) & 1))
#define IS_QUORUM(set, seats) (2 * BITS((set) & (seats)) > BITS(seats))
#define HAS(set, s) (((set) >> (s)) & 1)

#if defined(RECOVERY) && !defined(BREAK_H2) && !defined(BREAK_RULE21)
#define ALIVE(s) ((s) == 2 -> (lost & 1) == 0 : ((s) == 3 -> (lost & 1) != 0 : \
  ((s) == 1 -> (lost & 2) == 0 : ((s) == 4 -> (lost & 2) != 0 : 1))))
#else
#define ALIVE(s) 1
#endif

/* A vote goes by one membership, known to both sides, and is given by a seat of it. */
#if defined(BREAK_MEMBERSHIP)
#define VOTES(s, m) (ALIVE(s) && HAS(SEATS_AT(m), s))
#else
#define VOTES(s, m) (ALIVE(s) && NEWEST(learned[s]) == (m) && HAS(SEATS_AT(m), s))
#endif

/* ---- election ---- */

#if defined(BREAK_NONCE)
#define STARTED(c) ((c) != 2 || leads[0]) /* the predecessor was elected; then it is gone, its writes are not */
#elif defined(BREAK_H3)
#define STARTED(c) ((c) != 2) /* it asks nobody */
#else
#define STARTED(c) 1
#endif

#define PROMISE(c, s) \
  :: d_step { \
    STARTED(c) && !leads[c] && !HAS(votes[c], s) && VOTES(s, goes_by[c]) && BALLOT(c) >= promised[s] -> \
    PICK(TO_PROMISE, c, 0, s) \
  }

inline promise(c, s) {
  printf("storage %d promises ballot %d, going by the membership at %d\n", s, BALLOT(c), goes_by[c]);
  promised[s] = BALLOT(c);
  votes[c] = votes[c] | (1 << s);
  at[c] = (learned[s] + 1 > at[c] -> learned[s] + 1 : at[c]);
  i = 1;
  do
  :: i > N -> break
  :: else ->
    if
    :: i < at[c] -> plan[W(c, i)] = 0
    :: else ->
      x = REC(s, i);
      best = plan[W(c, i)];
      if
      :: x != 0 && (best == 0 || BALLOT(x - 1) > BALLOT(best - 1)) -> plan[W(c, i)] = x
      :: else
      fi
    fi;
    i++
  od;
  if
  :: IS_QUORUM(votes[c], SEATS_AT(goes_by[c])) ->
    printf("coordinator %d leads from position %d\n", c, at[c]);
    leads[c] = 1;
    votes[c] = 0;
    /* A gap below the last record found becomes a nop. */
    x = 0;
    i = N;
    do
    :: i < at[c] -> break
    :: else ->
      if
      :: plan[W(c, i)] != 0 -> x = 1
      :: plan[W(c, i)] == 0 && x == 1 -> plan[W(c, i)] = PLAN_NOP
      :: else
      fi;
      i--
    od
  :: else
  fi;
  i = 0;
  x = 0;
  best = 0
}

/* An answer names a newer membership: votes under the older one do not count for it. */
#if defined(BREAK_MEMBERSHIP)
#define FOLLOWS(c) (votes[c] == 0)
#else
#define FOLLOWS(c) 1
#endif
#define FOLLOW(c, s) \
  :: d_step { \
    STARTED(c) && !leads[c] && FOLLOWS(c) && NEWEST(learned[s]) > goes_by[c] -> \
    PICK(TO_FOLLOW, c, NEWEST(learned[s]), s) \
  }

inline ask_again(c, p) {
  printf("coordinator %d goes by the membership at %d\n", c, p);
  goes_by[c] = p;
  leads[c] = 0;
  votes[c] = 0;
  at[c] = 0;
  i = 1;
  do
  :: i > N -> break
  :: else ->
    plan[W(c, i)] = 0;
    i++
  od;
  i = 0
}

/* ---- writes ---- */

#if defined(BREAK_NONCE)
#define WRITES(c) ((c) != 0 || (votes[2] == 0 && !leads[2]))
#else
#define WRITES(c) 1
#endif

#define PLANNED(c, p) \
  (plan[W(c, p)] == PLAN_NOP -> NOP : value[W(plan[W(c, p)] - 1, p)])

/* A write that nobody receives changes nothing, so it is sent when the first replica accepts it. */
#define IS_NEXT(c, p) (WRITES(c) && leads[c] && at[c] == (p) && value[W(c, p)] == 0)
#define IS_OWN(c, p) (IS_NEXT(c, p) && plan[W(c, p)] == 0)

#define TAKES(c, s) (BALLOT(c) >= promised[s])
#if defined(BREAK_H1)
#define RAISE(c, s) skip
#else
#define RAISE(c, s) promised[s] = BALLOT(c)
#endif

/*
 * A learned record never changes. An equal write over it is accepted; a different one is older than the choice and is
 * refused. That it is older is checked: a younger one passes here and breaks the assertion in accept. With a rule broken
 * it is refused too, so that what is found is two chosen values and not only this sign of them.
 */
#if defined(BROKEN)
#define FITS(c, p, s, v) (learned[s] < (p) || (v) == chosen[p])
#else
#define FITS(c, p, s, v) (learned[s] < (p) || (v) == chosen[p] || BALLOT(c) >= chosen_ballot[p])
#endif

/* Writes what was found, or its own value. */
#define NEXT(c, p) (plan[W(c, p)] == 0 -> (c) + 1 : PLANNED(c, p))
#define WRITE(c, p, s) \
  :: d_step { \
    IS_NEXT(c, p) && VOTES(s, goes_by[c]) && TAKES(c, s) && FITS(c, p, s, NEXT(c, p)) -> \
    value[W(c, p)] = NEXT(c, p); \
    written_by[W(c, p)] = goes_by[c]; \
    PICK(TO_ACCEPT, c, p, s) \
  }

/*
 * A change of the membership. The log asks that something was chosen under the leader's own ballot before; agreement does
 * not rest on it, so here the leader may begin with the change. The last position takes none: nothing would go by it.
 */
#define CHANGED(c, changed) (SEATS + (SEATS_AT(goes_by[c]) ^ (changed)))
#define CHANGE(c, p, s, changed, allowed) \
  :: d_step { \
    (p) < N && IS_OWN(c, p) && (allowed) && VOTES(s, goes_by[c]) && TAKES(c, s) && \
    FITS(c, p, s, CHANGED(c, changed)) -> \
    value[W(c, p)] = CHANGED(c, changed); \
    written_by[W(c, p)] = goes_by[c]; \
    PICK(TO_ACCEPT, c, p, s) \
  }

/* A write that was sent, at another replica. Received twice it changes nothing. */
#define ACCEPT(c, p, s) \
  :: d_step { \
    value[W(c, p)] != 0 && VOTES(s, written_by[W(c, p)]) && TAKES(c, s) && FITS(c, p, s, value[W(c, p)]) && \
    (learned[s] < (p) -> REC(s, p) != (c) + 1 \
      : (promised[s] < BALLOT(c) || (accepts[W(c, p)] != ALL && !HAS(accepts[W(c, p)], s)))) -> \
    PICK(TO_ACCEPT, c, p, s) \
  }

inline accept(c, p, s) {
  printf("storage %d accepts value %d of coordinator %d, ballot %d, at %d\n", s, value[W(c, p)], c, BALLOT(c), p);
#if !defined(BREAK_MEMBERSHIP)
  assert(p == 1 || chosen[p - 1] != 0);
  assert(written_by[W(c, p)] == NEWEST(p - 1));
#endif
  if
  :: learned[s] >= p ->
    assert(value[W(c, p)] == chosen[p])
  :: else -> REC(s, p) = c + 1
  fi;
  RAISE(c, s);
  if
  :: accepts[W(c, p)] != ALL ->
    accepts[W(c, p)] = accepts[W(c, p)] | (1 << s);
    if
    :: IS_QUORUM(accepts[W(c, p)], SEATS_AT(written_by[W(c, p)])) -> choose(c, p)
    :: else
    fi
  :: else
  fi
}

/* With GOAL, what must be reachable: then the assertion in choose is broken. */
#if !defined(GOAL)
#define REACHED(c, p) 0
#elif defined(RECOVERY) && S == 5
/* Both lost, both back, and a quorum of new lives only. */
#define REACHED(c, p) ((c) == C - 1 && (p) == N && lost == 3 && (accepts[W(c, p)] & 24) == 24 && (accepts[W(c, p)] & 7) == 0)
#elif defined(RECOVERY) && N == 3
/* The first coordinator gives the new life its seat; the second one writes two entries, both accepted by it. */
#define REACHED(c, p) \
  ((c) == 1 && (p) == 3 && written_by[W(1, 2)] == 1 && chosen_ballot[1] == 1 && chosen_ballot[2] == 2 && \
    learned[3] == 2 && HAS(accepts[W(c, p)], 3))
#elif defined(RECONFIGURE) && N == 3
/* Each coordinator makes a change, and something is chosen under the second one. */
#define REACHED(c, p) ((c) == 1 && (p) == 3 && written_by[W(1, 3)] == 2 && written_by[W(1, 2)] == 1 && chosen_ballot[1] == 1)
#elif defined(RECOVERY) || defined(RECONFIGURE)
#define REACHED(c, p) ((c) == 2 && (p) == N && written_by[W(c, p)] == 1 && HAS(accepts[W(c, p)], 3) && chosen_ballot[1] == 2)
#else
/* A value of the first coordinator is found by the second one, and a value of that one by the third. */
#define REACHED(c, p) ((c) == 2 && (p) == N && value[W(2, N)] == 2 && chosen[1] == 1 && chosen_ballot[1] == 2)
#endif

inline choose(c, p) {
  printf("value %d is chosen at %d under ballot %d\n", value[W(c, p)], p, BALLOT(c));
  assert(!(REACHED(c, p)));
  assert(chosen[p] == 0 || chosen[p] == value[W(c, p)]);
  if
  :: chosen[p] == 0 ->
    chosen[p] = value[W(c, p)];
    chosen_ballot[p] = BALLOT(c)
  :: else
  fi;
  accepts[W(c, p)] = ALL;
  if
  :: leads[c] && at[c] == p ->
    at[c] = p + 1;
    if
#if !defined(BREAK_MEMBERSHIP)
    :: IS_SEATS(value[W(c, p)]) && plan[W(c, p)] != 0 ->
      ask_again(c, p)
    :: IS_SEATS(value[W(c, p)]) && plan[W(c, p)] == 0 -> goes_by[c] = p
#endif
    :: else -> plan[W(c, p)] = 0
    fi
  :: else
  fi
}

/* ---- learning: a commit notice or catch-up, one position at a time ---- */

#define LEARN(s) \
  :: d_step { \
    ALIVE(s) && learned[s] < N && chosen[(learned[s] < N -> learned[s] + 1 : N)] != 0 -> \
    PICK(TO_LEARN, 0, 0, s) \
  }

inline learn(s) {
  x = learned[s] + 1;
  printf("storage %d learns position %d\n", s, x);
  /* A notice of ballot b makes a record that was accepted under b the learned one. */
  if
  :: REC(s, x) != 0 ->
    best = REC(s, x) - 1;
    i = 0;
    do
    :: i == C -> break
    :: else ->
      assert(!(accepts[W(i, x)] == ALL && BALLOT(i) == BALLOT(best)) || value[W(best, x)] == chosen[x]);
      i++
    od
  :: else
  fi;
  REC(s, x) = 0;
#if !defined(BREAK_SEAT_PROMISE)
  /* Rule 21: a new seat promises at least a ballot under which the entry that seats it was chosen. */
  best = chosen_ballot[x];
#if defined(BREAK_ENTRY_BALLOT)
  /* Or merely one under which somebody wrote it. */
  i = 0;
  do
  :: i == C -> break
  :: else ->
    best = (value[W(i, x)] == chosen[x] && BALLOT(i) < best -> BALLOT(i) : best);
    i++
  od;
#endif
  if
  :: IS_SEATS(chosen[x]) && HAS(SEATS_AT(x), s) && !HAS(SEATS_AT(NEWEST(x - 1)), s) && promised[s] < best ->
    promised[s] = best
  :: else
  fi;
#endif
  learned[s] = x;
  i = 0;
  x = 0;
  best = 0
}

/* ---- storage loss ---- */

inline forget() {
  printf("storage 2 forgets its promise and its records\n");
  promised[2] = 0;
  i = 1;
  do
  :: i > N -> break
  :: else ->
    REC(2, i) = 0;
    i++
  od;
#if defined(BREAK_H2)
  learned[2] = 0;
#else
  do
  :: learned[2] == N -> break
  :: learned[2] < N && chosen[learned[2] + 1] == 0 -> break
  :: else -> learned[2]++
  od;
#endif
  i = 0
}

#define DIFFER(set, a, b) (HAS(set, a) != HAS(set, b))
#if defined(RECOVERY) && (defined(BREAK_H2) || defined(BREAK_RULE21))
#define LOSE \
  :: d_step { \
    lost == 0 -> \
    lost = 1; \
    PICK(TO_FORGET, 0, 0, 2) \
  }
#define CHANGES(c, p, s)
#elif defined(RECOVERY)
#define LOSE_STORAGE(l) \
  :: d_step { \
    (lost & (l)) == 0 -> \
    printf("storage %d is lost\n", 3 - (l)); \
    lost = lost | (l) \
  }
/* The next life of a replica takes the seat of the one before. */
#if S == 5
#define LOSE LOSE_STORAGE(1) LOSE_STORAGE(2)
#define CHANGES(c, p, s) \
  CHANGE(c, p, s, 12, HAS(SEATS_AT(goes_by[c]), 2)) \
  CHANGE(c, p, s, 18, HAS(SEATS_AT(goes_by[c]), 1))
#else
#define LOSE LOSE_STORAGE(1)
#define CHANGES(c, p, s) CHANGE(c, p, s, 12, HAS(SEATS_AT(goes_by[c]), 2))
#endif
#elif defined(RECONFIGURE)
#define LOSE
/* 2 and 3 come and go and replace each other; once the seats are not the first ones, so do 1 and 2. */
#define CHANGES(c, p, s) \
  CHANGE(c, p, s, 4, 1) \
  CHANGE(c, p, s, 8, 1) \
  CHANGE(c, p, s, 12, DIFFER(SEATS_AT(goes_by[c]), 2, 3)) \
  CHANGE(c, p, s, 2, SEATS_AT(goes_by[c]) != FIRST_SEATS) \
  CHANGE(c, p, s, 6, SEATS_AT(goes_by[c]) != FIRST_SEATS && DIFFER(SEATS_AT(goes_by[c]), 1, 2))
#else
#define LOSE
#define CHANGES(c, p, s)
#endif

#if defined(BREAK_H3)
/* 0 is refused by a replica that promised to 1, takes over that ballot and writes on at its position. */
#define GO_ON(s) \
  :: d_step { \
    leads[0] && !leads[2] && promised[s] == 2 -> \
    printf("coordinator 0 goes on under ballot 2\n"); \
    leads[2] = 1; \
    at[2] = at[0]; \
    goes_by[2] = goes_by[0] \
  }
#define GO_ONS GO_ON(0) GO_ON(1) GO_ON(2)
#else
#define GO_ONS
#endif

#if S == 5
#define EACH_S(X, c) X(c, 0) X(c, 1) X(c, 2) X(c, 3) X(c, 4)
#define EACH_PS(X, c, p) X(c, p, 0) X(c, p, 1) X(c, p, 2) X(c, p, 3) X(c, p, 4)
#define LEARNS LEARN(0) LEARN(1) LEARN(2) LEARN(3) LEARN(4)
#elif S == 4
#define EACH_S(X, c) X(c, 0) X(c, 1) X(c, 2) X(c, 3)
#define EACH_PS(X, c, p) X(c, p, 0) X(c, p, 1) X(c, p, 2) X(c, p, 3)
#define LEARNS LEARN(0) LEARN(1) LEARN(2) LEARN(3)
#else
#define EACH_S(X, c) X(c, 0) X(c, 1) X(c, 2)
#define EACH_PS(X, c, p) X(c, p, 0) X(c, p, 1) X(c, p, 2)
#define LEARNS LEARN(0) LEARN(1) LEARN(2)
#endif
#if N == 2
#define EACH_P(X, c) EACH_PS(X, c, 1) EACH_PS(X, c, 2)
#elif N == 3
#define EACH_P(X, c) EACH_PS(X, c, 1) EACH_PS(X, c, 2) EACH_PS(X, c, 3)
#elif N == 4
#define EACH_P(X, c) EACH_PS(X, c, 1) EACH_PS(X, c, 2) EACH_PS(X, c, 3) EACH_PS(X, c, 4)
#endif
#define COORDINATOR(c) EACH_S(PROMISE, c) EACH_S(FOLLOW, c) EACH_P(WRITE, c) EACH_P(CHANGES, c) EACH_P(ACCEPT, c)
#if C == 1
#define COORDINATORS COORDINATOR(0)
#elif C == 2
#define COORDINATORS COORDINATOR(0) COORDINATOR(1)
#else
#define COORDINATORS COORDINATOR(0) COORDINATOR(1) COORDINATOR(2)
#endif

active proctype log() {
  chosen[0] = SEATS + FIRST_SEATS;
  do
  :: atomic {
    if
    COORDINATORS
    LEARNS
    LOSE
    GO_ONS
    fi;
    d_step {
      if
      :: work == TO_PROMISE -> promise(by, at_storage)
      :: work == TO_FOLLOW -> ask_again(by, where)
      :: work == TO_ACCEPT -> accept(by, where, at_storage)
      :: work == TO_LEARN -> learn(at_storage)
#if defined(BREAK_H2) || defined(BREAK_RULE21)
      :: work == TO_FORGET -> forget()
#endif
      :: else
      fi;
      PICK(0, 0, 0, 0)
    }
  }
  od
}
