import pytest
from decimal import Decimal
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action
from tests.support.exchange_stories import BTC, FIRST, play
from tests.support.sandbox_books import BEGIN, fault
from tests.support.deaths import Kill
from tests.runtime.test_exchange_cards import *

def show(o):
    print(o.summary())
    for at,e in o.journal:
        if type(e).__name__ in ("FeatureRecorded",): continue
        n=type(e).__name__
        if n in ("WakeRaised","DecisionMade","DecisionRequested","GateEvaluated","CandleClosed"): continue
        print(f"{(at-BEGIN)/1000:9.3f} {str(e)[:230]}")
    print("PROBLEMS", o.problems())
    print("held", held(o), "stops", stops(o))

def test_ban_entry():
    o=play(ENTERS, faults=[fault("error",118,lasts="150s",path="/fapi/v1/algoOrder",status=418,code=-1003,msg="banned")], minutes=8)
    show(o)

def test_busy_minute():
    o=play(ENTERS, faults=[fault("error",118,lasts="20s",path="/fapi/v1/algoOrder",status=429,code=-1003,msg="Too many")], minutes=8)
    show(o)

def test_cancel_stop_race():
    o=play({2:(Action.BUY,0.015),3:(Action.PROTECT,0.015)}, faults=[fault("delay",100,lasts="4m",by="3s",stream="user@*")], minutes=7)
    show(o)
def test_tight_unknown():
    o=play({2:(Action.BUY,0.015),3:(Action.PROTECT,0.015)}, faults=[fault("order_drop",175,lasts="40s",path=ALGOS)], minutes=7)
    show(o)
def test_trigger_while_replaced():
    o=play({2:(Action.BUY,0.015),3:(Action.PROTECT,0.015)}, [FIRST,FIRST,FIRST,FIRST*0.98,FIRST*0.98], faults=[fault("order_drop",175,lasts="40s",path=ALGOS, executed=True)], minutes=7)
    show(o)
def test_kill_young():
    o=play(ENTERS, faults=[fault("owner_order",20,symbol=BTC,side="BUY",quantity="0.01"),], kills=[Kill(70,1,5)], minutes=6)
    show(o)
